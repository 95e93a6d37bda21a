"""Whoever speaks Gemini's API, on models of other providers: what is asked, what is answered, as google-genai reads it."""

import base64
import json
from typing import Any

import pytest
from google.genai import types

from routing.failures.failure import AttemptFailed
from routing.plan.refusal import Refusal
from routing.request.invalid import Invalid
from routing.request.signed import bound_to
from routing.translate import HUB, UPSTREAM, Target, downstream_pair, upstream_pair
from routing.translate.thoughts import ANTHROPIC
from tests.routing.translate import streams
from tests.routing.translate.test_reports import MIXED, USED, call, chunk, ran

RECORDED = [name for name in streams.names("chunks.txt", "chat", *UPSTREAM) if streams.format_of(name) != "gemini"]
ENDS_IN_ERROR = ("responses-openai-error.1", "responses-openai-custom-tool.1", "responses-parallel-tool-call-wrapper.1")
"""And one that is cut off: calls wait for the end."""


def asked(body: dict[str, Any], *, traits: frozenset[str] = HUB) -> tuple[dict[str, Any], tuple[str, ...]]:
    pair = downstream_pair("gemini")
    assert pair is not None
    said = pair.request(json.dumps({"model": "x", "stream": False, **body}).encode(), Target("p", "m", traits=traits))
    return json.loads(said.body), said.ignored


def read(answer: dict[str, Any]) -> types.GenerateContentResponse:
    """As the SDK reads an answer: what it does not know is left out, what it knows must be of its type."""
    usage = {name: value for name, value in answer.get("usageMetadata", {}).items() if name not in ("cost", "usage_source")}
    return types.GenerateContentResponse.model_validate(answer | ({"usageMetadata": usage} if usage else {}))


def parts_of(events: list[Any]) -> list[dict[str, Any]]:
    return [part for event in events for part in event["candidates"][0]["content"]["parts"]]


@pytest.mark.parametrize("name", [name for name in RECORDED if name not in ENDS_IN_ERROR])
def test_google_reads_a_translated_stream(name: str) -> None:
    """Every event is of the SDK's type; texts, thoughts and calls are those of the stream in Chat; one has finish and usage."""
    events = streams.events(streams.translated(name, "gemini"))
    answers = [read(event) for event in events]
    provider = streams.format_of(name)
    said = streams.chat_message(streams.translated(name, "chat") if provider != "chat" else streams.wire(name))
    parts = parts_of(events)
    text = "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
    assert text == said["content"] or name.endswith("refusal")
    assert "".join(part["text"] for part in parts if part.get("thought")) == said["reasoning"]
    calls = [(part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts if "functionCall" in part]
    assert calls == [(each["name"], json.loads(each["arguments"] or "{}")) for each in said["calls"].values()]
    assert [answer.candidates[0].finish_reason is not None for answer in answers if answer.candidates].count(True) == 1
    assert events[-1]["usageMetadata"]["cost"] > 0
    assert answers[-1].usage_metadata is not None
    assert answers[-1].response_id == "gen-1"


@pytest.mark.parametrize(
    "name", [name for name in streams.names("json", "chat", *UPSTREAM) if streams.format_of(name) != "gemini"]
)
def test_google_reads_a_translated_answer(name: str) -> None:
    """The whole answer is of the SDK's type, and says the same."""
    try:
        answer = read(json.loads(streams.whole(name, "gemini")))
    except AttemptFailed:
        assert "error" in streams.answer(name).decode()
        return
    assert answer.candidates
    assert answer.candidates[0].finish_reason is not None


def test_parallel_calls_go_out_whole() -> None:
    """However their fragments were mixed; Gemini has no pieces of arguments."""
    events, _ = ran("gemini", *MIXED, chunk(finish="tool_calls"), USED)
    calls = [part["functionCall"] for part in parts_of(events)]
    assert calls == [{"id": "a", "name": "f", "args": {"x": 1}}, {"id": "b", "name": "g", "args": {"y": 2}}]
    assert events[-1]["candidates"][0]["finishReason"] == "STOP"
    assert events[-1]["usageMetadata"]["promptTokenCount"] == 20
    assert events[-1]["usageMetadata"]["cachedContentTokenCount"] == 12


@pytest.mark.parametrize(
    ("finish", "word"), [("stop", "STOP"), ("length", "MAX_TOKENS"), ("content_filter", "SAFETY"), ("tool_calls", "STOP")]
)
def test_finish_in_googles_words(finish: str, word: str) -> None:
    events, _ = ran("gemini", chunk({"content": "hi"}), chunk(finish=finish), USED)
    assert events[-1]["candidates"][0]["finishReason"] == word


def test_arguments_that_are_no_object_are_told() -> None:
    """As the text that a model wrote."""
    events, _ = ran("gemini", chunk(call(0, "a", "f", '{"x": tru')), chunk(finish="length"), USED)
    assert parts_of(events)[0]["functionCall"]["args"] == {"arguments": '{"x": tru'}


def test_broken_answer_is_said_in_googles_words() -> None:
    """Once, as the last event; no finish is made up."""
    events, chain = ran("gemini", chunk({"content": "hi"}), done=False)
    assert all("finishReason" not in event["candidates"][0] for event in events)
    (last,) = streams.events(chain.fail(Refusal(503, "provider_overloaded", "it is overloaded")))
    assert (last["error"]["code"], last["error"]["status"]) == (503, "UNAVAILABLE")
    assert chain.fail(Refusal(500, "x", "again")) == b""


@pytest.mark.parametrize(
    "end",
    [[], [b'{"error":{"message":"busy","code":503}}'], [chunk(finish="error")]],
    ids=["no end", "an error", "a finish that is one"],
)
@pytest.mark.parametrize("size", [1, 40, 10_000])
def test_calls_that_are_whole_go_out_before_the_error(end: list[bytes], size: int) -> None:
    """Others' callers have had them by then, and they are charged. Of one that is not whole nothing is told."""
    said = [chunk({"content": "so"}), *MIXED[:4], MIXED[4], *end]
    chain = streams.chain("chat", "gemini")
    sent = streams.run(chain, streams.framed("chat", said).removesuffix(b"data: [DONE]\n\n"), size)
    *events, last = streams.events(sent + chain.fail(Refusal(503, "provider_overloaded", "it is overloaded")))
    assert parts_of(events) == [{"text": "so"}, {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}}]
    assert all("finishReason" not in event["candidates"][0] for event in events)
    assert last["error"]["status"] in ("UNAVAILABLE", "INTERNAL")
    assert chain.fail(Refusal(500, "x", "again")) == b""


def test_end_of_credit_is_a_regular_end() -> None:
    """With the finish of a cap, and the cost."""
    chain = streams.chain("chat", "gemini")
    events = streams.events(chain.feed(b"data: " + chunk({"content": "hi"}) + b"\n\n") + chain.cut())
    assert events[-1]["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert events[-1]["usageMetadata"]["cost"] > 0


def test_calls_before_the_end_of_credit_go_out() -> None:
    """In its last event."""
    chain = streams.chain("chat", "gemini")
    sent = b"".join([chain.feed(b"data: %b\n\n" % each) for each in MIXED])
    events = streams.events(sent + chain.cut())
    assert [part["functionCall"]["args"] for part in parts_of(events)] == [{"x": 1}, {"y": 2}]
    assert events[-1]["candidates"][0]["finishReason"] == "MAX_TOKENS"


def test_conversation_goes_around() -> None:
    """What Claude thought and signed comes back to it as what it was, through Gemini's parts; and binds the conversation."""
    detail = {"type": "reasoning.text", "signature": "S", "format": ANTHROPIC, "index": 0}
    events, _ = ran(
        "gemini",
        chunk({"reasoning": "hm"}),
        chunk({"reasoning_details": [detail]}),
        chunk({"content": "so"}),
        chunk(call(0, "toolu_1", "f", '{"x":1.50}')),
        chunk(finish="tool_calls"),
        USED,
    )
    parts = parts_of(events)
    signature = next(part["thoughtSignature"] for part in parts if "thoughtSignature" in part)
    assert types.Part.model_validate({"text": "", "thoughtSignature": signature}).thought_signature == base64.b64decode(signature)
    answer = {"functionResponse": {"name": "f", "response": {"output": "1"}}}
    contents = [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": parts},
        {"role": "user", "parts": [answer]},
    ]
    body = {"contents": contents, "tools": [{"functionDeclarations": [{"name": "f"}]}]}
    assert bound_to("gemini", {"contents": json.dumps(contents).encode()}) == ANTHROPIC  # type: ignore[dict-item]
    chat, ignored = asked(body)
    assert ignored == ()
    claude = upstream_pair("messages")
    assert claude is not None
    sent = json.loads(claude.request(json.dumps(chat).encode(), Target("p", "claude-sonnet-4-6", 9_000)).body)
    assert sent["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "S"},
        {"type": "text", "text": "so"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1.5}},
    ]
    assert sent["messages"][2]["content"][0]["tool_use_id"] == "toolu_1"


def test_picture_goes_around() -> None:
    """Google's clients send back what a model made: nothing ends by it, and that it is not shown again is told."""
    picture = {"image_url": {"url": "data:image/png;base64,AAAA"}}
    events, _ = ran("gemini", chunk({"content": "so"}), chunk({"images": [picture]}), chunk(finish="stop"), USED)
    parts = parts_of(events)
    assert types.Part.model_validate(parts[1]).inline_data == types.Blob(mime_type="image/png", data=bytes(3))
    turns = [{"role": "model", "parts": parts}, {"role": "model", "parts": parts[1:]}, {"role": "user", "parts": [{"text": "?"}]}]
    chat, ignored = asked({"contents": turns})
    assert chat["messages"] == [{"role": "assistant", "content": "so"}, {"role": "user", "content": "?"}]
    assert ignored == ("contents[].parts[].inlineData",)


def test_request_in_chats_words() -> None:
    """What has a counterpart is said; Google's schemas become JSON schemas."""
    chat, ignored = asked(
        {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [{"parts": [{"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]}],
            "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "nullable": True}}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
            "generationConfig": {
                "maxOutputTokens": 9,
                "topP": 0.5,
                "stopSequences": ["x"],
                "responseSchema": {"type": "ARRAY", "maxItems": "3", "items": {"type": "STRING", "propertyOrdering": []}},
                "thinkingConfig": {"thinkingBudget": 0},
                "mediaResolution": "HIGH",
            },
        }
    )
    assert chat["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
            ],
        },
    ]
    assert chat["tools"][0]["function"] == {"name": "f", "parameters": {"type": ["object", "null"]}}
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    schema = {"type": "array", "maxItems": 3, "items": {"type": "string"}}
    assert chat["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    assert (chat["max_tokens"], chat["top_p"], chat["stop"]) == (9, 0.5, ["x"])
    assert chat["reasoning"] == {"effort": "none", "exclude": True}
    assert ignored == ("generationConfig.mediaResolution",)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"generationConfig": {"candidateCount": 2}}, "generationConfig.candidateCount"),
        ({"generationConfig": {"responseLogprobs": True}}, "generationConfig.responseLogprobs"),
        ({"generationConfig": {"responseModalities": ["AUDIO"]}}, "generationConfig.responseModalities"),
        ({"generationConfig": {"brandNew": 1}}, "generationConfig.brandNew"),
        ({"brandNew": 1}, "brandNew"),
        ({"cachedContent": "cachedContents/1"}, "cachedContent"),
        ({"contents": [{"parts": [{"executableCode": {}}]}]}, "contents[0].parts[0].executableCode"),
        (
            {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {}}}]}]},
            "contents[0].parts[0].functionResponse",
        ),
        (
            {"contents": [{"parts": [{"fileData": {"fileUri": "gs://a/b", "mimeType": "image/png"}}]}]},
            "contents[0].parts[0].fileData",
        ),
        ({"contents": [{"role": "system", "parts": []}]}, "contents[0].role"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "toolConfig.functionCallingConfig"),
    ],
)
def test_what_chat_has_not_is_refused(body: dict[str, Any], param: str) -> None:
    """By its path."""
    with pytest.raises(Invalid) as caught:
        asked({"contents": [{"parts": [{"text": "hi"}]}], **body})
    assert (caught.value.param or "").startswith(param)


CALLED = {"functionCall": {"id": "c", "name": "look.up", "args": {}}}
LOOP = [
    {"role": "user", "parts": [{"text": "hi"}]},
    {"role": "model", "parts": [{"text": "I will", "thought": True}, CALLED]},
    {"role": "user", "parts": [{"functionResponse": {"id": "c", "name": "look.up", "response": {"a": 1}, "parts": [
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}}]},
]  # fmt: skip


def test_accents_of_providers_are_heard() -> None:
    """Ids of nine characters, and thoughts where they are wanted back."""
    sent, ignored = asked({"contents": LOOP}, traits=frozenset(("short_ids",)))
    call_id = sent["messages"][1]["tool_calls"][0]["id"]
    assert len(call_id) == 9
    assert sent["messages"][2]["tool_call_id"] == call_id
    assert ignored == ("contents[].parts[].thought",)
    sent, ignored = asked({"contents": LOOP}, traits=frozenset(("reasoning_content",)))
    assert sent["messages"][1]["reasoning_content"] == "I will"
    assert ignored == ()


def test_picture_that_a_tool_answers_is_shown() -> None:
    """In the tool's message where that holds one, else in the next."""
    url = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    sent, _ = asked({"contents": LOOP})
    assert sent["messages"][2]["content"][1] == url
    sent, ignored = asked({"contents": LOOP}, traits=frozenset(("reasoning_content",)))
    assert sent["messages"][2]["content"] == '{"a": 1}\n[shown in the next message]'
    assert sent["messages"][3] == {"role": "user", "content": [url]}
    assert ignored == ()


def test_name_of_a_tool_comes_back_as_it_was() -> None:
    """OpenAI takes no dots, Gemini does; in a history, a declaration and a choice alike."""
    pair = downstream_pair("gemini")
    assert pair is not None
    body = {
        "contents": LOOP, "tools": [{"functionDeclarations": [{"name": "look.up"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look.up"]}},
    }  # fmt: skip
    made = pair.request(json.dumps({"model": "x", "stream": False, **body}).encode(), Target("p", "m", traits=HUB))
    sent = json.loads(made.body)
    name = sent["tools"][0]["function"]["name"]
    assert "." not in name
    assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == name
    assert sent["tool_choice"]["function"]["name"] == name
    chain = streams.chain("chat", "gemini", made.memo)
    wire = streams.framed("chat", [chunk(call(0, "c", name, "{}")), chunk(finish="tool_calls"), USED])
    (part,) = [part for part in parts_of(streams.events(streams.run(chain, wire))) if "functionCall" in part]
    assert part["functionCall"]["name"] == "look.up"


@pytest.mark.parametrize("part", [{"text": ""}, {"text": None}, {"thoughtSignature": "c2ln", "text": ""}, {}])
@pytest.mark.parametrize("role", ["user", "model"])
def test_part_that_says_nothing_is_no_part(role: str, part: dict[str, Any]) -> None:
    """An empty text is refused by many: what stands beside it is said alone, as a string."""
    contents = [{"role": "user", "parts": [{"text": "hi"}]}, {"role": role, "parts": [part, {"text": "so"}]}]
    pair = downstream_pair("gemini")
    assert pair is not None
    said = json.loads(pair.request(json.dumps({"model": "m", "contents": contents}).encode(), Target("p", "m", traits=HUB)).body)
    assert said["messages"][1]["content"] == "so"
