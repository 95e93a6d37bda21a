"""Where in a stream's end the member stands that says how the request was routed."""

import json

import pytest
from msgspec import Raw

from routing.views.metadata import in_stream

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
