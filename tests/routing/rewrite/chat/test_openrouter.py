"""What OpenRouter's clients need in an answer, and what they must not find."""

import json
from typing import Any

import pytest
from msgspec import Raw

from routing.metering.meter import Meter
from routing.rewrite.chat import openrouter, stream
from routing.rewrite.chat.answer import open_answer, rewrite_answer
from routing.rewrite.chat.openrouter import chunk_members
from routing.rewrite.chat.stream import StreamRewrite
from routing.rewrite.identity import Identity
from routing.table.tariff import Tariff
from routing.wire.members import decode_members
from tests.routing import recordings
from tests.routing.cuts import fed, pieces
from usage.flavor import Flavor
from usage.record import Rates


def choices_of(choices: Raw, part: str) -> bytes:
    return bytes(openrouter.choices_of(choices, part))


def whole(body: bytes, flavor: Flavor = Flavor.OPENROUTER) -> dict[str, Any]:
    reading = open_answer(body)
    identity = Identity("gen-1", "a/b", flavor, "p", 7)
    answer: dict[str, Any] = json.loads(
        rewrite_answer(body, reading, identity, Meter(Tariff(Rates(input=1_000, output=2_000)), 5))
    )
    return answer


@pytest.mark.parametrize("name", recordings.ANSWERS)
def test_answer_of_a_recording(name: str) -> None:
    """Every provider's whole answer has what OpenRouter's SDKs require; and nothing of the provider's is lost."""
    before, after = json.loads(recordings.answer(name)), whole(recordings.answer(name))
    assert after["provider"] == "p"
    assert "system_fingerprint" in after
    for old, new in zip(before["choices"], after["choices"], strict=True):
        assert new["native_finish_reason"] == old["finish_reason"]
        assert new["finish_reason"] in ("stop", "length", "tool_calls", "content_filter", "error")
        for member, value in old["message"].items():
            assert value is None or new["message"][member] == value


@pytest.mark.parametrize("name", recordings.ANSWERS)
def test_answer_of_a_recording_for_openai(name: str) -> None:
    """Nothing of OpenRouter's is added for OpenAI's clients."""
    before, after = json.loads(recordings.answer(name)), whole(recordings.answer(name), Flavor.OPENAI)
    assert set(after) == set(before) | {"id", "model", "usage"}
    assert after["choices"] == before["choices"]


@pytest.mark.parametrize(
    ("native", "told"),
    [
        ('"stop"', '"stop"'),
        ('"eos"', '"stop"'),
        ('"end_turn"', '"stop"'),
        ('"model_length"', '"length"'),
        ('"function_call"', '"tool_calls"'),
        ('"SAFETY"', '"content_filter"'),
        ('"insufficient_system_resource"', '"error"'),
        ('"new_word"', '"new_word"'),
        ("7", "7"),
        ("[]", "[]"),
        ("null", "null"),
    ],
)
def test_finish_in_both_words(native: str, told: str) -> None:
    """OpenRouter's five, and the provider's own beside it; what nobody knows stays."""
    (choice,) = json.loads(choices_of(Raw(f'[{{"index":0,"message":{{}},"finish_reason":{native}}}]'.encode()), "message"))
    assert choice["finish_reason"] == json.loads(told)
    assert choice.get("native_finish_reason") == json.loads(native)
    assert ("native_finish_reason" in choice) == (native != "null")


def test_reasoning_in_both_names() -> None:
    """DeepSeek's name and OpenRouter's; one that is there already stays."""
    text = rb'"think\u00fc \"x\""'
    (choice,) = json.loads(choices_of(Raw(b'[{"message":{"content":"a","reasoning_content":%b}}]' % text), "message"))
    assert choice["message"]["reasoning"] == choice["message"]["reasoning_content"] == json.loads(text)
    (choice,) = json.loads(choices_of(Raw(b'[{"delta":{"reasoning":"own","reasoning_content":"x"}}]'), "delta"))
    assert choice["delta"]["reasoning"] == "own"
    (choice,) = json.loads(choices_of(Raw(b'[{"delta":{"reasoning_content":null}}]'), "delta"))
    assert choice["delta"] == {"reasoning_content": None, "reasoning": None}


def test_members_that_are_null_without_need() -> None:
    """Their schema has no null there, so their SDKs would refuse the whole answer."""
    message = b'{"role":"assistant","content":null,"tool_calls":null,"audio":null,"refusal":null,"function_call":null}'
    (choice,) = json.loads(choices_of(Raw(b'[{"index":0,"message":%b,"finish_reason":"stop"}]' % message), "message"))
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": None, "function_call": None}
    call = b'{"id":null,"type":null,"function":{"name":null,"arguments":"{"}}'
    (choice,) = json.loads(choices_of(Raw(b'[{"delta":{"role":null,"tool_calls":[%b]}}]' % call), "delta"))
    assert choice == {"delta": {"tool_calls": [{"function": {"arguments": "{"}, "index": 0}]}, "finish_reason": None, "index": 0}
    (choice,) = json.loads(choices_of(Raw(b'[{"index":4,"message":null}]'), "message"))
    assert (choice["index"], choice["message"]) == (4, {})


@pytest.mark.parametrize("choices", [b"null", b"7", b"[7]", b'[{"message":7}]', b'[{"message":{"tool_calls":7}}]', b"[{}, null]"])
def test_choices_that_cannot_be_read(choices: bytes) -> None:
    """They stay as they are: nothing here breaks an answer."""
    assert choices_of(Raw(choices), "message") == choices


def chunk(text: bytes) -> dict[str, Any]:
    members = chunk_members(decode_members(text), Raw(b'"p"'), 7)
    return {name: json.loads(bytes(value)) for name, value in members.items()}


def test_chunk() -> None:
    """No null where there may be none, and what is required is there."""
    told = chunk(b'{"id":"x","choices":[{"delta":{"content":"a"}}],"usage":null,"system_fingerprint":null,"created":0}')
    assert told == {
        "id": "x",
        "choices": [{"delta": {"content": "a"}, "finish_reason": None, "index": 0}],
        "created": 7,
        "object": "chat.completion.chunk",
        "provider": "p",
    }
    kept = chunk(b'{"object":"o","created":3,"choices":null,"usage":{"a":1},"system_fingerprint":"f"}')
    assert kept == {
        "object": "o", "created": 3, "choices": [], "usage": {"a": 1}, "system_fingerprint": "f", "provider": "p",
    }  # fmt: skip
    assert chunk(b'{"id":"x"}')["choices"] == []


NEVER_NULL = {
    "chunk": ("id", "object", "created", "model", "choices", "usage", "system_fingerprint", "error", "provider"),
    "choice": ("delta", "index"),
    "delta": ("role", "tool_calls", "audio", "reasoning_details"),
    "call": ("id", "type", "index", "function"),
    "function": ("name", "arguments"),
}
"""Where OpenRouter's schema has no null."""


def faults(chunk: dict[str, Any]) -> list[str]:
    """What their SDKs would refuse a chunk for."""
    found = [name for name in ("id", "object", "created", "model", "choices", "provider") if name not in chunk]
    parts: list[tuple[str, dict[str, Any]]] = [("chunk", chunk)]
    for choice in chunk["choices"]:
        found += [name for name in ("index", "delta", "finish_reason") if name not in choice]
        parts += [("choice", choice), ("delta", choice["delta"])]
        for call in choice["delta"].get("tool_calls") or ():
            found += [] if "index" in call else ["call.index"]
            parts += [("call", call), ("function", call.get("function") or {})]
    found += [f"{kind}.{name}" for kind, part in parts for name in NEVER_NULL[kind] if name in part and part[name] is None]
    counts = ((chunk.get("usage") or {}).get("prompt_tokens_details") or {}).values()
    return found + ["usage" for count in counts if not isinstance(count, int)]


def streamed(parts: list[bytes], flavor: Flavor = Flavor.OPENROUTER, *, include_usage: bool = False) -> tuple[bytes, Meter]:
    meter = Meter(Tariff(Rates(input=1_000, output=2_000)), 5)
    identity = Identity("gen-1", "a/b", flavor, "p")
    rewrite = StreamRewrite(identity, meter, include_usage=include_usage, created=7, line_bytes_max=1 << 20)
    return fed(rewrite.feed, parts) + rewrite.finish(), meter


def events_of(stream: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in stream.splitlines() if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("name", recordings.STREAMS)
def test_stream_of_a_recording(name: str, include_usage: bool) -> None:
    """Every chunk is one that their SDKs take; what the provider said is all there; and no cut changes what goes out."""
    wire = recordings.wire(name)
    whole, meter = streamed([wire], include_usage=include_usage)
    events = events_of(whole)
    assert [faults(event) for event in events if faults(event)] == []
    assert [event for event in events if event.get("usage")] == events[-1:]
    plain, plain_meter = streamed([wire], Flavor.OPENAI, include_usage=include_usage)
    assert meter.tokens == plain_meter.tokens
    for told, sent in zip(events, events_of(plain), strict=True):
        for choice, other in zip(told["choices"], sent["choices"], strict=True):
            for member, value in other["delta"].items():
                assert value is None or choice["delta"][member] == value or member == "tool_calls"
    by_event = [b"data: " + chunk + b"\n\n" for chunk in recordings.chunks(name)] + [b"data: [DONE]\n\n"]
    for parts in (by_event, pieces(wire, 1), pieces(wire, 7), pieces(wire, 1_000)):
        assert streamed(parts, include_usage=include_usage)[0] == whole


def event_of(delta: str, finish: str = "null", more: str = "") -> bytes:
    choice = f'{{"index":0,"delta":{delta},"finish_reason":{finish}}}'
    return f'data: {{"id":"x","object":"chat.completion.chunk","created":3,"model":"m","choices":[{choice}]{more}}}\n\n'.encode()


def test_stream_of_reasoning() -> None:
    """The text stands in both members, the short way too; the counts are those of the provider's text, not of ours."""
    texts = ["first", "second", r"third \u00fc \"x\"", "fourth"]
    parts = [event_of(f'{{"reasoning_content":"{text}"}}', more=',"usage":null') for text in texts]
    sent, meter = streamed([*parts, event_of("{}", '"stop"'), b"data: [DONE]\n\n"])
    events = events_of(sent)
    assert [event["choices"][0]["delta"].get("reasoning") for event in events[:-1]] == [json.loads(f'"{text}"') for text in texts]
    deltas = [event["choices"][0]["delta"] for event in events[:-1]]
    assert all(delta["reasoning"] == delta["reasoning_content"] for delta in deltas)
    assert events[-1]["choices"][0]["native_finish_reason"] == "stop"
    _, other = streamed([*parts, event_of("{}", '"stop"')], Flavor.OPENAI)
    assert (meter.deltas, meter.text_bytes) == (other.deltas, other.text_bytes) == (4, sum(map(len, texts)))


def test_stream_that_changes_its_shape() -> None:
    """What was learned of one kind of chunk is never put upon another."""
    parts = [event_of('{"content":"a"}', more=',"usage":null')] * 3
    parts += [event_of('{"content":"b","role":"x"}'), event_of('{"content":"c"}', more=',"usage":{"prompt_tokens":1}')]
    parts += [event_of('{"content":"d"}'), event_of('{"content":"e"}', '"eos"')]
    parts.append(event_of('{"content":"a"}', more=',"usage":null'))
    for cut in (parts, [b"".join(parts)]):
        *events, last = events_of(streamed(cut)[0])
        # Text came behind the finish, so that the usage has a chunk of its own.
        assert (last["choices"][0]["delta"], last["usage"]["prompt_tokens"]) == ({}, 1)
        assert [event["choices"][0]["delta"]["content"] for event in events] == ["a", "a", "a", "b", "c", "d", "e", "a"]
        assert [event["choices"][0]["finish_reason"] for event in events] == [None] * 6 + ["stop", None]
        assert events[6]["choices"][0]["native_finish_reason"] == "eos"
        assert [faults(event) for event in events if faults(event)] == []


def test_chunk_that_would_be_refused() -> None:
    """The check of these tests sees what it is for."""
    bad = {"id": "x", "object": "o", "created": 1, "model": "m", "provider": "p", "choices": [], "usage": None}
    assert faults(bad) == ["chunk.usage"]
    bad = {**bad, "usage": {}, "choices": [{"index": 0, "delta": {"tool_calls": None}, "finish_reason": None}]}
    assert faults(bad) == ["delta.tool_calls"]


RIGHT = stream.plain_of


def _without_between(line: bytes, new_line: bytes) -> stream.Plain | None:
    plain = RIGHT(line, new_line)
    return None if plain is None else plain._replace(between=None)


def _tail_of_the_provider(line: bytes, new_line: bytes) -> stream.Plain | None:
    plain = RIGHT(line, new_line)
    return None if plain is None else plain._replace(new_tail=None)


@pytest.mark.parametrize("wrong", [_without_between, _tail_of_the_provider])
def test_stream_learned_wrongly(monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    """What is learned of a chunk goes wrong in ways that the checks of these tests see."""
    parts = [event_of(f'{{"reasoning_content":"{text}"}}', more=',"usage":null') for text in ("one", "two", "three")]
    right = streamed(parts)[0]
    with monkeypatch.context() as patched:
        patched.setattr(stream, "plain_of", wrong)
        told = streamed(parts)[0]
    assert told != right
    seen = events_of(told)
    deltas = [event["choices"][0]["delta"] for event in seen]
    assert any(map(faults, seen)) or any(delta.get("reasoning") != delta["reasoning_content"] for delta in deltas)


@pytest.mark.parametrize(
    "members", [{}, {"object": None, "created": None, "system_fingerprint": None}, {"object": "x", "created": 5}]
)
def test_answer_has_what_their_schema_requires(members: dict[str, Any]) -> None:
    """What a provider leaves out, or says null for, is put in; what it says stays."""
    choice = {"message": {"content": "x", "tool_calls": [{"id": None, "type": "function"}]}, "finish_reason": "stop"}
    after = whole(json.dumps({"choices": [choice], **members}).encode())
    assert (after["object"], after["created"]) == (members.get("object") or "chat.completion", members.get("created") or 7)
    assert after["choices"][0]["message"]["tool_calls"] == [{"type": "function"}]


@pytest.mark.parametrize("details", [b"null", b"5", b"{}", b'{"cached_tokens":null,"audio_tokens":0}'])
def test_counts_of_the_prompts_parts_are_numbers(details: bytes) -> None:
    """Whatever a provider says of them."""
    usage = b'{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,"prompt_tokens_details":%b}' % details
    told = whole(b'{"choices":[{"message":{"content":"x"}}],"usage":%b}' % usage)["usage"]
    assert all(isinstance(each, int) for each in (told["prompt_tokens_details"] or {}).values())
    assert told["is_byok"] is False
