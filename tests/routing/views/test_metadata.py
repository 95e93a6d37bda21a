"""Where in a stream's end the member stands that says how the request was routed."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from routing.plan.plan import Attempt, Plan
from routing.routes.route import Situation
from routing.views.decision import decision_taken
from routing.views.metadata import HEADER_BYTES_MAX, Explanation, as_header, in_object, in_stream
from tests.routing.routes.test_route import ROUTES
from usage.record import Tried

MEMBER = {"routed": Raw(b"1")}


@pytest.mark.parametrize(
    "sent",
    [
        'data: {"a":1}\n\ndata: {"b":%s}\n\n',
        'data: {"a":1}\n\ndata: {"b":%s}\n\ndata: [DONE]\n\n',
        'data: {"a":1}\r\n\r\ndata:{"b":%s}\r\n\r\n',
        'event: x\ndata: {"b":%s}\n\n',
        'data: {"b":%s}',
    ],
)
@pytest.mark.parametrize("said", ["hi", 'data: {"c":2}', "\ndata:{", ""])
def test_member_is_in_the_last_event_whatever_a_model_wrote(sent: str, said: str) -> None:
    """An event begins a line; a text that looks like one is not taken for it."""
    sent %= json.dumps(said)
    told = in_stream(sent.encode(), MEMBER).decode()
    assert told == sent.replace(json.dumps(said) + "}", json.dumps(said) + ',"routed":1}')


@pytest.mark.parametrize("sent", [b"", b": keep\n\n", b"data: [DONE]\n\n", b'event: "data: {"\n\n'])
def test_what_has_no_event_stays(sent: bytes) -> None:
    assert in_stream(sent, MEMBER) == sent


def explained(tried: tuple[Tried, ...] = ()) -> tuple[Explanation, Sequence[Attempt]]:
    """Of a request that has come as far as its attempts."""
    planned = ROUTES.plan("cheap", (), {}, 0.0, 0.0)
    assert isinstance(planned, Plan)
    explanation = Explanation("routed")
    explanation.plan(
        lambda admitted: decision_taken(ROUTES, "cheap", Situation(), 0.0, None, planned, admitted),
    )
    explanation.admit(planned.attempts)
    explanation.note(tried)
    return explanation, planned.attempts


def told(explanation: dict[str, Any]) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(bytes(explanation["routed"]))
    return parsed


def test_explanation_of_what_was_never_planned_is_none() -> None:
    """A request that is refused at the door has no route, and its error no member for it."""
    explanation = Explanation("routed")
    assert (explanation.of_failure(), as_header(explanation.of_failure())) == ({}, [])


@pytest.mark.parametrize(
    ("ended", "result", "end"), [("answered", "answered", ""), ("broken", "broken", ", and its answer broke off: broken")]
)
def test_explanation_of_an_answer(ended: str, result: str, end: str) -> None:
    """Who answered, who had been asked before, and whether the answer broke."""
    explanation, attempts = explained((Tried("gone", "m", "unavailable", 503),))
    first = attempts[0]
    said = told(explanation.of_answer(first, ended))
    name = f"{first.model.name} at {first.provider.name}"
    assert said["summary"] == f"{name} answered; before it gone: unavailable{end}"
    assert [each["result"] for each in said["attempts"]] == ["unavailable", result]
    assert said["attempt"] == (2 if result == "answered" else None)


@pytest.mark.parametrize(
    ("tried", "summary"),
    [
        ((), "nobody answered; nobody was asked"),
        ((Tried("a", "m", "unavailable", 503),), "nobody answered; a: unavailable"),
        ((Tried("a", "m", "unavailable", 503), Tried("b", "m", "connect", 0)), "nobody answered; a: unavailable, b: connect"),
    ],
)
def test_explanation_of_a_failure(tried: tuple[Tried, ...], summary: str) -> None:
    """No target is told as one that answered."""
    said = told(explained(tried)[0].of_failure())
    assert (said["summary"], said["attempt"]) == (summary, None)
    assert not any(each["selected"] for each in said["endpoints"]["available"])


@given(st.dictionaries(st.sampled_from(["tollway_metadata", "openrouter_metadata"]), st.text(max_size=40), max_size=2))
def test_header_is_ascii_and_means_the_same(values: dict[str, str]) -> None:
    """Letters beyond ASCII, those beyond the first plane too, are what JSON's escapes say; a line never breaks."""
    found = dict(as_header({name: Raw(msgspec.json.encode(value)) for name, value in values.items()}))
    assert {name: json.loads(value) for name, value in found.items()} == {
        b"x-" + name.replace("_", "-").encode(): value for name, value in values.items()
    }
    assert all(value.isascii() and not {b"\r", b"\n"} & set(value) for value in found.values())


@pytest.mark.parametrize(("size", "is_told"), [(HEADER_BYTES_MAX, True), (HEADER_BYTES_MAX + 1, False)])
def test_header_that_is_too_long_is_left_out(size: int, is_told: bool) -> None:
    """After escaping, since that is what goes out."""
    text = Raw(b'"' + b"a" * (size - 2 - 6) + "é".encode() + b'"')
    assert len(as_header({"routed": text})) == is_told


@pytest.mark.parametrize("body", [b"", b"[1]", b"hello", b"\xff", b'{"a":', b"[" * 5000])
def test_what_is_no_object_stays(body: bytes) -> None:
    """Sound, plain text, a list: byte by byte as it came."""
    assert in_object(body, MEMBER) == body
