"""One answer in its two shapes: what one says, the other says."""

import json
from typing import Any

import msgspec
import pytest

from routing.rewrite.chat.reshape import answer_of, events_of, shape_of
from routing.wire.repair import read_object
from tests.routing import recordings
from tests.routing.provider_bytes import bodies


def streamed(body: bytes) -> bytes:
    reading = read_object(body)
    assert reading is not None
    return events_of(body, reading)


def said(answer: dict[str, Any]) -> list[Any]:
    """What is the same in both shapes: each choice's finish, and its message without what is null."""
    return [
        (choice["finish_reason"], {name: value for name, value in choice["message"].items() if value is not None})
        for choice in answer["choices"]
    ]


@pytest.mark.parametrize("name", recordings.ANSWERS)
def test_answer_streamed_and_put_together_is_the_same(name: str) -> None:
    """Messages, finishes, names and usage; and each event stands on one line."""
    body = recordings.answer(name)
    stream = streamed(body)
    assert stream.endswith(b"data: [DONE]\n\n")
    assert all(line.startswith(b"data: ") for line in stream.split(b"\n") if line)
    before, after = json.loads(body), json.loads(answer_of(stream))
    assert said(after) == said(before)
    assert (after["id"], after["usage"]) == (before["id"], before["usage"])


@pytest.mark.parametrize("name", recordings.STREAMS)
def test_stream_put_together_has_its_text(name: str) -> None:
    """Texts and arguments in order, calls by their index, the last finish."""
    chunks = [json.loads(text) for text in recordings.chunks(name)]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    message = json.loads(answer_of(recordings.wire(name)))["choices"][0]["message"]
    text = "".join(delta["content"] for delta in deltas if isinstance(delta.get("content"), str))
    assert (message["content"] or "") == text
    calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
    arguments = "".join(call["function"].get("arguments", "") for call in calls)
    assert "".join(call["function"]["arguments"] for call in message.get("tool_calls", ())) == arguments


def test_calls_without_an_index_are_told_by_their_ids() -> None:
    """Gemini's layer leaves the index out and sends whole calls."""
    call = b'{"id":"%b","type":"function","function":{"name":"f","arguments":"{}"}}'
    chunk = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[%b]}}]}\n\n'
    message = json.loads(answer_of(chunk % (call % b"a") + chunk % (call % b"b")))["choices"][0]["message"]
    assert [each["id"] for each in message["tool_calls"]] == ["a", "b"]


def test_halves_of_a_surrogate_pair_become_one_character() -> None:
    halves = [b'data: {"choices":[{"index":0,"delta":{"content":"\\%b"}}]}\n\n' % half for half in (b"ud83d", b"ude00")]
    assert json.loads(answer_of(b"".join(halves)))["choices"][0]["message"]["content"] == "\U0001f600"


def test_number_too_large_for_any_reader_is_none() -> None:
    """Python would write `Infinity`, which is no JSON."""
    stream = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":[{"logprob":-1e400}]}}]}\n\n'
    assert b"nfinity" not in answer_of(stream)
    assert msgspec.json.decode(answer_of(stream))["choices"][0]["message"]["content"] == "x"


@pytest.mark.parametrize(
    ("head", "shape"),
    [
        (b"data: x", "stream"),
        (b": x", "stream"),
        (b"\xef\xbb\xbfdata:", "stream"),
        (b"event: x", "stream"),
        (b"\n\n  {", "whole"),
        (b"{", "whole"),
        (b"[", "whole"),
        (b"<html>", "whole"),
        (b"dat", ""),
        (b"", ""),
        (b"\r\n", ""),
        (b"\xef\xbb", ""),
        (b"\xff", "whole"),
    ],
)
def test_shape_is_told_by_the_first_bytes(head: bytes, shape: str) -> None:
    assert shape_of(head) == shape


def test_bytes_of_any_kind_are_put_together_or_told_apart() -> None:
    """Nothing raises, whatever the stream or the answer holds."""
    for body in bodies(7, 400):
        assert json.loads(answer_of(body))["object"] == "chat.completion"
        reading = read_object(body)
        if reading is not None and reading.chunk.choices:
            assert events_of(body, reading).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("choices", [b"[5]", b"[null]", b"[[]]"])
def test_choices_that_are_none_are_left_out(choices: bytes) -> None:
    assert streamed(b'{"choices":%b,"usage":{"prompt_tokens":1}}' % choices).count(b"data: ") == 2


@pytest.mark.parametrize("message", [b"5", b'"x"', b'{"tool_calls":[5]}', b'{"tool_calls":"x"}'])
def test_message_that_cannot_be_read_is_a_delta_as_it_came(message: bytes) -> None:
    assert b'"delta":%b' % message in streamed(b'{"choices":[{"message":%b}]}' % message)


def put_together(*choices: Any) -> Any:
    chunks = [b"data: %b\n\n" % json.dumps({"choices": each}).encode() for each in choices]
    return json.loads(answer_of(b"".join(chunks)))["choices"]


@pytest.mark.parametrize(
    ("deltas", "message"),
    [
        ([{"content": "a"}, {"content": "b"}], {"content": "ab"}),
        ([{"role": "assistant"}, {"role": "assistant"}], {"role": "assistant"}),
        ([{"content": None}, {"content": "a"}, {"content": None}, {"content": ""}], {"content": "a"}),
        ([{"reasoning_details": [1]}, {"reasoning_details": [2]}], {"reasoning_details": [1, 2]}),
        ([{"audio": {"id": "x", "data": "a"}}, {"audio": {"data": "b"}}], {"audio": {"id": "x", "data": "ab"}}),
        ([{"images": [1]}, {"images": "x"}], {"images": "x"}),
        ([{"tool_calls": [5, {"index": 0, "id": "a"}, None]}], {"tool_calls": [{"id": "a"}]}),
        (
            [{"tool_calls": [{"index": 7, "id": "a"}]}, {"tool_calls": [{"index": -1, "function": {"arguments": "{}"}}]}],
            {"tool_calls": [{"id": "a", "function": {"arguments": "{}"}}]},
        ),
        (
            [
                {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
                {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]},
            ],
            {"tool_calls": [{"function": {"arguments": "{}"}}]},
        ),
        ([{"tool_calls": {"index": 0}}], {"tool_calls": {"index": 0}}),
    ],
)
def test_deltas_are_put_together(deltas: list[Any], message: dict[str, Any]) -> None:
    """Texts are joined, lists follow one another, calls go by their index, and null says nothing."""
    (choice,) = put_together(*([{"index": 0, "delta": delta}] for delta in deltas))
    assert choice["message"] == {"role": "assistant", "content": None} | message


def test_choices_are_told_apart_by_their_index() -> None:
    """In the order of their indices; what is no choice is none, and one without an index is the first."""
    found = put_together([{"index": 1, "delta": {"content": "b"}}], [5, None, {"delta": {"content": "a"}}], "x", None, 5, {})
    assert [(each["index"], each["message"]["content"]) for each in found] == [(0, "a"), (1, "b")]


def test_log_probabilities_follow_one_another() -> None:
    (choice,) = put_together(*([{"index": 0, "logprobs": {"content": [n]}, "finish_reason": "stop"}] for n in (1, 2)))
    assert (choice["logprobs"], choice["finish_reason"]) == ({"content": [1, 2]}, "stop")
