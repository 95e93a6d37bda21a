"""What OpenRouter's clients need in an answer, and what they must not find."""

import json
from typing import Any

import pytest
from msgspec import Raw

from routing import openrouter
from routing.answer import Identity, open_answer, rewrite_answer
from routing.meter import Meter
from routing.openrouter import chunk_members
from routing.splice import decode_members
from tests.routing import recordings
from usage.flavor import Flavor
from usage.record import Rates


def choices_of(choices: Raw, part: str) -> bytes:
    return bytes(openrouter.choices_of(choices, part))


def whole(body: bytes, flavor: Flavor = Flavor.OPENROUTER) -> dict[str, Any]:
    view, members = open_answer(body)
    identity = Identity("gen-1", "a/b", flavor, "p", 7)
    answer: dict[str, Any] = json.loads(rewrite_answer(body, view, members, identity, Meter(Rates(input=1_000, output=2_000), 5)))
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


def chunk(text: bytes) -> dict[str, Any] | None:
    members = chunk_members(decode_members(text), Raw(b'"p"'), 7)
    return None if members is None else {name: json.loads(bytes(value)) for name, value in members.items()}


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
    assert chunk(b'{"id":"x"}') is None
