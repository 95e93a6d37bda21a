"""Every surface with the SDK that is made for it, unmodified, against a real edge: native, translated, and echo."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from openrouter import OpenRouter

from tests.answers import Answer, cut_at_random, respond, spoken, stream
from tests.processes import Account, Edge, make_account
from tests.provider import Provider
from tests.routing.translate import streams

PRICE = '{ input = "3", output = "15", cached_input = "0.3", cache_write = "3.75" }'
TABLE = """
[providers.claude]
base_url = "http://127.0.0.1:PORT/v1"
api_key = "none"
serves = ["messages", "count_tokens"]
unlisted = PRICE
[providers.codex]
base_url = "http://127.0.0.1:PORT/v1"
api_key = "none"
serves = ["responses"]
unlisted = PRICE
[providers.mock]
base_url = "http://127.0.0.1:PORT/v1"
api_key = "none"
unlisted = PRICE
"""
MESSAGES: Any = [{"role": "user", "content": "Say hello."}]
TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.fixture(scope="module")
def edge(provider: Provider, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    table = TABLE.replace("PORT", str(provider.port)).replace("PRICE", PRICE)
    with (running := Edge(tmp_path_factory.mktemp("surfaces"), table, TOLLWAY_SERVER=server)):
        yield running


@pytest.fixture(scope="module")
def account(edge: Edge) -> Account:
    return make_account(edge, "caller", "1000.00")


@pytest.fixture
def claude(edge: Edge, account: Account) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=f"http://127.0.0.1:{edge.port}/api", api_key=account.key, max_retries=0, timeout=20)


def recorded(name: str) -> Answer:
    return stream([streams.wire(name)])


def cost(usage: Any) -> float:
    return float(usage.model_extra["cost"])


def test_messages_pass_to_a_provider_that_speaks_them(claude: anthropic.Anthropic, provider: Provider, model: str) -> None:
    """The request goes as it came, with the caller's version and harmless betas; the stream comes back with our id and cost."""
    provider.script(model, recorded("anthropic-text"))
    with claude.messages.stream(
        model=f"claude/{model}",
        max_tokens=100,
        messages=MESSAGES,
        extra_headers={"anthropic-beta": "interleaved-thinking-2025-05-14,fast-mode-2026-02-01"},
    ) as got:
        costs = [cost(event.usage) for event in got if event.type == "message_delta"]
        message = got.get_final_message()
        assert got.response.headers["request-id"] == got.response.headers["x-request-id"]
        assert got.response.headers["x-tollway-ignored"] == "anthropic-beta=fast-mode-2026-02-01"
    asked = provider.wait_for_request(model)
    assert asked.line.startswith("POST /v1/messages ")
    assert asked.header("anthropic-beta") == "interleaved-thinking-2025-05-14"
    assert asked.header("anthropic-version")
    assert asked.json() == {"model": model, "max_tokens": 100, "messages": MESSAGES, "stream": True}
    assert message.id.startswith("gen-")
    assert costs[0] > 0
    assert message.model == f"claude/{model}"
    assert message.content[0].type == "text"


def test_messages_on_a_chat_provider(claude: anthropic.Anthropic, provider: Provider, model: str) -> None:
    """Claude's SDK on a model that speaks Chat: whole and streamed, the same usage and cost."""
    provider.script_by(model, lambda request: stream(spoken()) if request.json().get("stream") else respond(_chat()))
    whole = claude.messages.create(model=f"mock/{model}", max_tokens=100, messages=MESSAGES, tools=[TOOL])
    assert (whole.content[0].text, whole.stop_reason) == ("Hello there.", "end_turn")  # type: ignore[union-attr]
    assert cost(whole.usage) == pytest.approx((9 * 3 + 3 * 15) / 1e6)
    with claude.messages.stream(model=f"mock/{model}", max_tokens=100, messages=MESSAGES) as got:
        costs = [cost(event.usage) for event in got if event.type == "message_delta"]
        message = got.get_final_message()
    assert message.stop_reason == "end_turn"
    assert costs[0] > 0
    asked = provider.wait_for_request(model)
    assert asked.json()["tools"][0]["function"]["name"] == "weather"
    assert asked.line.startswith("POST /v1/chat/completions ")


def _chat() -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hello there."}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m"} | {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }


def test_chat_on_a_messages_provider(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """OpenAI's SDK on Anthropic's own API: thinking, text, usage."""
    provider.script(model, recorded("anthropic-clear-thinking.1"))
    text, usage = "", None
    for chunk in client.chat.completions.create(
        model=f"claude/{model}", messages=MESSAGES, stream=True, stream_options={"include_usage": True}, max_tokens=4000
    ):
        text += chunk.choices[0].delta.content or "" if chunk.choices else ""
        usage = chunk.usage or usage
    assert text
    assert usage is not None
    assert cost(usage) > 0
    asked = provider.wait_for_request(model)
    assert asked.line.startswith("POST /v1/messages ")
    assert asked.header("anthropic-version") == "2023-06-01"
    assert asked.json()["model"] == model


@pytest.mark.parametrize("target", ["codex", "mock", "claude"])
def test_responses_natively_and_translated(client: openai.OpenAI, provider: Provider, model: str, target: str) -> None:
    """OpenAI's `responses` on each kind of provider; `store` never reaches one as true."""
    answers = {
        "codex": recorded("responses-xai-text-with-reasoning.1"),
        "mock": stream(spoken()),
        "claude": recorded("anthropic-text"),
    }
    provider.script(model, answers[target])
    with client.responses.stream(model=f"{target}/{model}", input="hi") as got:
        final = got.get_final_response()
    assert final.status == "completed"
    assert final.id.startswith("gen-")
    assert final.model == f"{target}/{model}"
    assert final.output_text
    assert final.usage is not None
    assert cost(final.usage) > 0
    asked = provider.wait_for_request(model)
    if target == "codex":
        assert asked.json()["store"] is False
        assert asked.line.startswith("POST /v1/responses ")


def test_responses_refuse_what_is_kept_elsewhere(client: openai.OpenAI) -> None:
    """Another tenant's response could be read under our key."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="codex/m", input="hi", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="codex/m", input="hi", store=True)


def test_refusals_stop_each_client(edge: Edge, provider: Provider, model: str) -> None:
    """Out of credit: Anthropic's is 402 billing_error, Responses' 429 insufficient_quota that is not to be tried again."""
    poor = make_account(edge, f"poor-{model}", "0.000001")
    claude = anthropic.Anthropic(base_url=f"http://127.0.0.1:{edge.port}/api", auth_token=poor.key, max_retries=2, timeout=20)
    with pytest.raises(anthropic.APIStatusError) as billed:
        claude.messages.create(model=f"claude/{model}", max_tokens=1000, messages=MESSAGES)
    assert billed.value.status_code == 402
    assert billed.value.body["error"]["type"] == "billing_error"  # type: ignore[index]
    client = openai.OpenAI(base_url=edge.base_url, api_key=poor.key, max_retries=2, timeout=20)
    with pytest.raises(openai.RateLimitError) as limited:
        client.responses.create(model=f"codex/{model}", input="hi")
    assert limited.value.code == "insufficient_quota"
    assert limited.value.response.headers["x-should-retry"] == "false"
    assert not provider.requests[model]


def test_count_tokens_of_whoever_counts(claude: anthropic.Anthropic, provider: Provider, model: str) -> None:
    """It passes, free; for a model of a provider that does not count it is an estimate, which says so, and nobody is asked."""
    provider.script(model, respond({"input_tokens": 14}))
    counted = claude.messages.count_tokens(model=f"claude/{model}", messages=MESSAGES)
    assert (counted.input_tokens, counted.to_dict().get("usage_source")) == (14, None)
    estimated = claude.messages.count_tokens(model=f"mock/{model}", messages=MESSAGES, system="be brief" * 300)
    assert 600 < estimated.input_tokens < 1_200
    assert estimated.to_dict()["usage_source"] == "estimated"
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.count_tokens(model="nobody/nothing", messages=MESSAGES)


def test_gemini_counts_and_lists(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """As Google's SDK asks for it, on any model; its lists have pages."""
    made = genai.Client(api_key=account.key, http_options={"base_url": f"http://127.0.0.1:{edge.port}"})
    assert made.models.count_tokens(model="echo/echo-1", contents="one two three").total_tokens
    assert (made.models.count_tokens(model=f"mock/{model}", contents="a" * 300).total_tokens or 0) >= 100
    assert not provider.requests[model]
    names = [each.name for each in made.models.list(config={"page_size": 2})]
    assert "models/echo/echo-1" in names
    assert len(names) == len(set(names))
    echo = made.models.get(model="echo/echo-1")
    assert "generateContent" in (echo.supported_actions or [])
    with pytest.raises(genai.errors.ClientError) as refused:
        made.models.get(model="nobody/nothing")
    assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")


def test_models_in_anthropics_shape(claude: anthropic.Anthropic) -> None:
    """Claude Code looks for models at the same path."""
    listed = claude.models.list(limit=1000)
    assert "echo/echo-1" in [each.id for each in listed.data]
    assert claude.models.retrieve("echo/echo-1").type == "model"


def test_embeddings_in_every_encoding(client: openai.OpenAI) -> None:
    """Base64, which the SDK asks for by itself, numbers, batches and tokens."""
    one = client.embeddings.create(model="echo/echo-1", input=["a", "b"], dimensions=8)
    plain = client.embeddings.create(model="echo/echo-1", input=["a", "b"], dimensions=8, encoding_format="float")
    assert one.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert [each.index for each in one.data] == [0, 1]
    assert client.embeddings.create(model="echo/echo-1", input=[[1, 2, 3]]).usage.prompt_tokens == 3
    assert cost(one.usage) > 0


def test_media_by_echo(client: openai.OpenAI) -> None:
    """Images, edits, speech, transcriptions and moderations, with OpenAI's SDK, offline."""
    picture = client.images.generate(model="echo/echo-1", prompt="a cat")
    assert picture.data
    assert picture.data[0].b64_json
    edited = client.images.edit(model="echo/echo-1", prompt="a hat", image=("a.png", io.BytesIO(b"\x89PNG"), "image/png"))
    assert edited.data
    said = client.audio.speech.create(model="echo/echo-1", input="one two three", voice="alloy")
    tone = said.read()
    assert tone.startswith(b"RIFF")
    assert float(said.response.headers["x-tollway-cost"]) > 0
    heard = client.audio.transcriptions.create(model="echo/echo-1", file=("a.wav", tone))
    assert heard.text == "A sound of 1 seconds."
    events = list(client.audio.transcriptions.create(model="echo/echo-1", file=("a.wav", tone), stream=True))
    assert events[-1].type == "transcript.text.done"
    assert client.audio.transcriptions.create(model="echo/echo-1", file=("a.wav", tone), response_format="text")
    assert client.moderations.create(model="echo/echo-1", input="hi").results[0].flagged is False
    assert client.completions.create(model="echo/echo-1", prompt="one two").choices[0].text == "one two"


def test_gemini_with_googles_sdk(edge: Edge, account: Account) -> None:
    """Whole and streamed, with the key in Google's own header; a model that is not there is said in Google's words."""
    made = genai.Client(api_key=account.key, http_options={"base_url": f"http://127.0.0.1:{edge.port}"})
    answer = made.models.generate_content(model="echo/echo-1", contents="one two")
    assert answer.text == "one two"
    assert answer.response_id is not None
    assert answer.response_id.startswith("gen-")
    pieces = list(made.models.generate_content_stream(model="echo/echo-1", contents="one two"))
    assert "".join(piece.text or "" for piece in pieces).split() == ["one", "two"]
    assert pieces[-1].usage_metadata is not None
    with pytest.raises(genai.errors.ClientError) as refused:
        made.models.generate_content(model="nobody/nothing", contents="x")
    assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")


@pytest.mark.parametrize("target", ["mock", "claude", "codex"])
def test_gemini_on_every_provider(edge: Edge, account: Account, provider: Provider, model: str, target: str) -> None:
    """Google's SDK on models of others: whole and streamed, with a schema and a system prompt; the cost is in the usage."""
    answers = {
        "codex": recorded("responses-xai-text-with-reasoning.1"),
        "mock": stream(spoken()),
        "claude": recorded("anthropic-text"),
    }
    provider.script(model, answers[target])
    made = genai.Client(api_key=account.key, http_options={"base_url": f"http://127.0.0.1:{edge.port}"})
    config = genai.types.GenerateContentConfig(system_instruction="Be brief.", max_output_tokens=2_000)
    pieces = list(made.models.generate_content_stream(model=f"{target}/{model}", contents="Say hello.", config=config))
    assert "".join(piece.text or "" for piece in pieces)
    last = pieces[-1]
    assert last.candidates
    assert last.candidates[0].finish_reason is not None
    assert last.usage_metadata is not None
    assert last.usage_metadata.total_token_count
    assert last.model_version == f"{target}/{model}"
    asked = provider.wait_for_request(model)
    assert "Be brief." in asked.body.decode()
    if target == "mock":
        provider.script(model, respond(_chat()))
        whole = made.models.generate_content(model=f"mock/{model}", contents="Say hello.")
        assert whole.text == "Hello there."


@pytest.mark.parametrize("seed", range(4))
def test_head_goes_before_the_first_part_that_is_passed_on(
    seed: int, edge: Edge, account: Account, provider: Provider, model: str
) -> None:
    """A provider's first parts may say nothing to a caller of Google's, and the text comes a moment later."""
    provider.script(model, cut_at_random(stream(spoken()), 8, seed, gap_s=0.004))
    made = genai.Client(api_key=account.key, http_options={"base_url": f"http://127.0.0.1:{edge.port}"})
    pieces = made.models.generate_content_stream(model=f"mock/{model}", contents="Say hello.")
    assert "".join(piece.text or "" for piece in pieces) == "Hello there."


def test_batches_of_vectors_with_googles_sdk(edge: Edge, account: Account) -> None:
    """It asks for several at once, and names the model in each."""
    made = genai.Client(api_key=account.key, http_options={"base_url": f"http://127.0.0.1:{edge.port}"})
    vectors = made.models.embed_content(model="echo/echo-1", contents=["one", "two"]).embeddings
    assert vectors is not None
    assert [bool(each.values) for each in vectors] == [True, True]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_openrouter_client_on_every_surface_that_it_has(edge: Edge, account: Account) -> None:
    """It checks each answer by its own schema: responses (whole and streamed), vectors, ranks, pictures, sounds both ways."""
    with OpenRouter(api_key=account.key, server_url=edge.openrouter_url) as client:
        asked: Any = {"model": "echo/echo-1"}
        response: Any = client.responses.send(**asked, input="one two", frequency_penalty=0.5)
        assert (response.output[0].content[0].text, response.frequency_penalty) == ("one two", 0.5)
        with client.responses.send(**asked, input="one two", stream=True) as events:
            kinds = [event.type for event in events]
        assert (kinds[0], kinds[-1], "UNKNOWN" in kinds) == ("response.created", "response.completed", False)
        vectors: Any = client.embeddings.generate(**asked, input=["a", "b"])
        assert len(vectors.data) == 2
        ranks: Any = client.rerank.rerank(**asked, query="a b", documents=["b", "a b c"], top_n=1)
        assert [(rank.index, rank.document.text) for rank in ranks.results] == [(1, "a b c")]
        picture: Any = client.images.generate(**asked, prompt="cat")
        assert (bool(picture.data[0].b64_json), picture.usage.completion_tokens) == (True, 100)
        with client.images.generate(**asked, prompt="cat", stream=True) as events:
            pictures: list[Any] = list(events)
        assert (pictures[-1].type, pictures[-1].usage.completion_tokens) == ("image_generation.completed", 100)
        spoken = client.tts.create_speech(**asked, input="one two", voice="alloy")
        sound = spoken.read() if hasattr(spoken, "read") else spoken
        heard: Any = client.stt.create_transcription(
            **asked, input_audio={"data": base64.b64encode(sound).decode(), "format": "wav"}
        )
        form: Any = client.stt.create_transcription_multipart(**asked, file={"file_name": "a.wav", "content": sound})
        assert heard.text == form.text
        assert "echo/echo-1" in [model.id for model in client.embeddings.list_models().result.data]
        (maker,) = client.images.list_models().data
        assert (maker.id, maker.endpoints) == ("echo/echo-1", "/api/v1/images/models/echo/echo-1/endpoints")
        assert client.images.list_model_endpoints(author="echo", slug="echo-1").endpoints[0].provider_name == "echo"
        assert "echo" in [provider.slug for provider in client.providers.list().data]
        assert [endpoint.provider_name for endpoint in client.endpoints.list_zdr_endpoints().data] == ["echo"]
        assert heard.usage.cost == form.usage.cost
