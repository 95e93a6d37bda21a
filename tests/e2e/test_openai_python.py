"""The OpenAI Python SDK, unmodified, against a real edge: what its users see of answers, streams, tools, images and errors."""

import base64
import itertools
import json
from decimal import Decimal
from typing import Any

import openai
import pytest

from tests.answers import DONE, Gate, Step, completion, delta, event, respond, spoken, stream, usage_chunk
from tests.e2e.oracle import cost_nano
from tests.patience import PATIENCE_S
from tests.processes import Account, Edge
from tests.provider import Provider

MESSAGES: Any = [{"role": "user", "content": "Say hello."}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Zürich"}'}}


def cost_of(usage: Any) -> Decimal:
    return Decimal(str(usage.cost))


def dollars(prompt: int, tokens: int, cached: int = 0) -> Decimal:
    return Decimal(cost_nano(prompt, tokens, cached)) / 1_000_000_000


def test_completion_plain(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """The answer is the provider's with our id, the model that was asked for, and the exact cost."""
    provider.script(model, respond(completion("Hello there.", prompt=34, tokens=567)))
    got = client.chat.completions.with_raw_response.create(model=f"mock/{model}", messages=MESSAGES)
    answer = got.parse()
    assert answer.choices[0].message.content == "Hello there."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.id.startswith("gen-")
    assert answer.id == got.headers["x-generation-id"]
    assert got.headers["x-request-id"]
    assert answer._request_id == got.headers["x-request-id"]
    assert answer.model == f"mock/{model}"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (34, 567, 601)
    assert cost_of(answer.usage) == dollars(34, 567)


def test_completion_cached_tokens(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """Cached tokens are charged at their own price."""
    body = completion(prompt=1000, tokens=10)
    body["usage"]["prompt_tokens_details"] = {"cached_tokens": 900}
    provider.script(model, respond(body))
    answer = client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES)
    assert cost_of(answer.usage) == dollars(1000, 10, 900)


def test_request_forwarded(client: openai.OpenAI, provider: Provider, account: Account, model: str) -> None:
    """The provider gets the caller's parameters under its own model name, and never the caller's key."""
    provider.script(model, respond(completion()))
    client.chat.completions.create(
        model=f"mock/{model}",
        messages=MESSAGES,
        temperature=0.25,
        top_p=0.5,
        stop=["a", "b"],
        seed=7,
        extra_body={"x": [1, {"y": None}]},
    )
    request = provider.wait_for_request(model)
    body = request.json()
    assert body["model"] == model
    assert body["messages"] == MESSAGES
    assert (body["temperature"], body["top_p"], body["stop"], body["seed"], body["x"]) == (
        0.25,
        0.5,
        ["a", "b"],
        7,
        [1, {"y": None}],
    )
    assert request.line == "POST /v1/chat/completions HTTP/1.1"
    assert request.header("accept-encoding") == "identity"
    assert all(account.key not in value for _, value in request.headers)


def test_stream_usage_merged(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """Without include_usage no chunk has empty choices, and the usage is in the chunk that carries finish_reason."""
    provider.script(model, stream(spoken(prompt=31, tokens=17)))
    with client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES, stream=True) as chunks:
        got = list(chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in got) == "Hello there."
    assert all(chunk.choices for chunk in got)
    with_usage = [chunk for chunk in got if chunk.usage is not None]
    assert with_usage == got[-1:]
    assert got[-1].choices[0].finish_reason == "stop"
    assert got[-1].usage is not None
    assert (got[-1].usage.prompt_tokens, got[-1].usage.completion_tokens) == (31, 17)
    assert cost_of(got[-1].usage) == dollars(31, 17)
    assert {chunk.id for chunk in got} == {got[0].id}
    assert got[0].id.startswith("gen-")
    assert {chunk.model for chunk in got} == {f"mock/{model}"}


def test_stream_usage_included(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """With include_usage there is exactly one usage, in one last chunk with empty choices."""
    provider.script(model, stream(spoken(prompt=31, tokens=17)))
    with client.chat.completions.create(
        model=f"mock/{model}", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    ) as chunks:
        got = list(chunks)
    assert [bool(chunk.choices) for chunk in got] == [True] * (len(got) - 1) + [False]
    assert [chunk.usage is None for chunk in got] == [True] * (len(got) - 1) + [False]
    assert cost_of(got[-1].usage) == dollars(31, 17)
    assert {chunk.id for chunk in got} == {got[0].id}


def test_stream_usage_not_sent_by_provider(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """A provider without usage: the count is ours, and says so."""
    values = [delta(content="one "), delta(content="two "), delta("stop")]
    provider.script(model, stream([*map(event, values), DONE]))
    with client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES, stream=True) as chunks:
        usage: Any = list(chunks)[-1].usage
    assert usage.usage_source == "counted"
    assert usage.completion_tokens == 2
    assert cost_of(usage) == dollars(usage.prompt_tokens, 2)


def test_stream_about_an_image_without_usage_is_charged_for_an_image(
    client: openai.OpenAI, provider: Provider, model: str
) -> None:
    """By its bytes a photograph would cost a hundred thousand tokens of text."""
    provider.script(model, stream([event(delta(content="a road")), event(delta("stop")), DONE]))
    image: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    with client.chat.completions.create(
        model=f"mock/{model}", messages=[{"role": "user", "content": [image]}], stream=True
    ) as chunks:
        usage: Any = list(chunks)[-1].usage
    assert usage.usage_source == "counted"
    assert 2_000 < usage.prompt_tokens < 2_100


def test_stream_delivered_while_running(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """A chunk reaches the caller before the provider has sent the next one."""
    parts: list[Step] = []
    for number in range(5):
        parts += [event(delta(content=str(number))), Gate(f"{model}-{number}")]
    provider.script(model, stream([*parts, event(delta("stop")), event(usage_chunk(1, 5)), DONE]))
    seen = []
    with client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES, stream=True) as chunks:
        for chunk in chunks:
            seen.append(chunk.choices[0].delta.content)
            provider.release(f"{model}-{len(seen) - 1}")
    assert seen[:5] == ["0", "1", "2", "3", "4"]


def test_tools_plain(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """A tool call comes back whole; tools and tool_choice reach the provider."""
    provider.script(model, respond(completion(None, message={"tool_calls": [CALL]}, finish_reason="tool_calls")))
    answer = client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES, tools=TOOLS, tool_choice="auto")
    assert answer.choices[0].finish_reason == "tool_calls"
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].model_dump(exclude_none=True) == CALL
    body = provider.wait_for_request(model).json()
    assert (body["tools"], body["tool_choice"]) == (TOOLS, "auto")


def test_tools_streamed(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """A tool call in fragments arrives as the same fragments."""
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    fragments = ['{"ci', 'ty":"Zü', 'rich"}']
    values = [delta(role="assistant", content=None, tool_calls=[first])]
    values += [delta(tool_calls=[{"index": 0, "function": {"arguments": fragment}}]) for fragment in fragments]
    provider.script(model, stream([*map(event, [*values, delta("tool_calls"), usage_chunk(50, 12)]), DONE]))
    with client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES, tools=TOOLS, stream=True) as chunks:
        got = list(chunks)
    calls = [call for chunk in got for call in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].id == "call_1"
    assert [call.function.arguments for call in calls if call.function] == ["", *fragments]
    assert got[-1].choices[0].finish_reason == "tool_calls"
    assert cost_of(got[-1].usage) == dollars(50, 12)


def test_tools_follow_up(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """The turn after a tool call, with its result, goes through as it is."""
    provider.script(model, respond(completion("It rains.")))
    messages: Any = [*MESSAGES, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
    messages.append({"role": "tool", "tool_call_id": "call_1", "content": "rain"})
    answer = client.chat.completions.create(model=f"mock/{model}", messages=messages, tools=TOOLS)
    assert answer.choices[0].message.content == "It rains."
    assert provider.wait_for_request(model).json()["messages"] == messages


def test_image_part(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """An image, inline or by its address, passes unchanged; the proxy does not fetch it."""
    inline = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 1200).decode()
    parts: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": inline, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": f"http://127.0.0.1:{provider.port}/never-fetched.png"}},
    ]
    provider.script(model, respond(completion("A cat.", prompt=900, tokens=4)))
    answer = client.chat.completions.create(model=f"mock/{model}", messages=[{"role": "user", "content": parts}])
    assert answer.choices[0].message.content == "A cat."
    assert provider.wait_for_request(model).json()["messages"] == [{"role": "user", "content": parts}]
    assert not any("never-fetched" in request.line for request in itertools.chain(*provider.requests.values()))


def test_structured_output_parsed(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """A response_format reaches the provider, and its JSON answer the caller, untouched."""
    provider.script(model, respond(completion('{"answer": 42}')))
    schema: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    answer = client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES, response_format=schema)
    assert json.loads(answer.choices[0].message.content or "") == {"answer": 42}
    assert provider.wait_for_request(model).json()["response_format"] == schema


def test_stream_left_early(client: openai.OpenAI, provider: Provider, model: str) -> None:
    """A caller that leaves closes the connection to the provider within a second."""
    provider.script(model, stream([event(delta(content="first")), Gate(f"{model}-never"), DONE]))
    with client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES, stream=True) as chunks:
        assert next(iter(chunks)).choices[0].delta.content == "first"
    assert provider.wait_for_request(model).closed.wait(PATIENCE_S)


@pytest.mark.anyio
async def test_async_client(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """AsyncOpenAI: plain and streamed."""
    provider.script(model, respond(completion("Hi.", prompt=5, tokens=2)), stream(spoken(prompt=5, tokens=3)))
    async with openai.AsyncOpenAI(base_url=edge.base_url, api_key=account.key, max_retries=0) as client:
        answer = await client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES)
        assert cost_of(answer.usage) == dollars(5, 2)
        chunks = await client.chat.completions.create(model=f"mock/{model}", messages=MESSAGES, stream=True)
        got = [chunk async for chunk in chunks]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in got) == "Hello there."
    assert cost_of(got[-1].usage) == dollars(5, 3)


def test_models_listed(client: openai.OpenAI) -> None:
    """`client.models.list()` works and names what can be called."""
    names = [entry.id for entry in client.models.list()]
    assert any(name.startswith("echo/") for name in names)


def test_echo_answers(client: openai.OpenAI) -> None:
    """The built-in provider answers without a network, streamed and not, at a price."""
    name = next(entry.id for entry in client.models.list() if entry.id.startswith("echo/"))
    answer = client.chat.completions.create(model=name, messages=MESSAGES)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert cost_of(answer.usage) > 0
    with client.chat.completions.create(model=name, messages=MESSAGES, stream=True) as chunks:
        got = list(chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in got)
    assert cost_of(got[-1].usage) > 0
