"""Our whole Chat answer → a whole response: the one that the last event of its stream has."""

from routing.rewrite.chat.reshape import events_of
from routing.translate import Context
from routing.translate.responses_on_chat.stream import ChatToResponses
from routing.wire.members import decode_members
from routing.wire.repair import read_object


def whole(body: bytes, context: Context) -> bytes:
    """`body` is an answer that was accepted as one."""
    reading = read_object(body)
    assert reading is not None, "open_answer read it"
    machine = ChatToResponses(context)
    stream = machine.feed(events_of(body, reading)) + machine.finish()
    last = stream.rstrip().rpartition(b"\ndata: ")[2]
    return bytes(decode_members(last)["response"])
