"""A whole message of Anthropic's → a whole answer of Chat's.

Strategy: the message is said as the stream that it would have been, so that the two cannot differ.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.rewrite.chat.reshape import answer_of
from routing.translate import Context
from routing.translate.chat_on_messages.stream import MessagesToChat
from routing.translate.chunks import REFUSAL
from routing.translate.reader import encode
from routing.wire.members import REFUSED, Members, decode_members
from routing.wire.repair import readable

_decode_blocks: Final = msgspec.json.Decoder(list[Members]).decode


def whole(body: bytes, context: Context) -> bytes:
    """An object with `error` for one; the body as it came for what is no message."""
    events = events_of(body)
    if not events:
        return body
    machine = MessagesToChat(context)
    chunks = machine.feed(events) + machine.finish()
    return answer_of(chunks).replace(b'"refusal":', REFUSAL, 1)


def events_of(body: bytes) -> bytes:
    """The events that say what a whole message says; an error event for an error; nothing for what is neither."""
    try:
        text, message = readable(body)
        if bytes(message.get("type", b"")) == b'"error"' or "error" in message:
            return _event({"type": "error", "error": message.get("error", Raw(b"{}"))})
        blocks = _decode_blocks(message.get("content", Raw(b"")) if text is body else decode_members(text)["content"])
    except (KeyError, *REFUSED):
        return b""
    out = [_event({"type": "message_start", "message": {name: raw for name, raw in message.items() if name != "content"}})]
    for index, block in enumerate(blocks):
        citations = block.pop("citations", Raw(b"null"))
        out.append(_event({"type": "content_block_start", "index": index, "content_block": block}))
        if bytes(citations)[:1] == b"[":
            for citation in msgspec.json.decode(citations, type=list[Raw]):
                delta = {"type": "citations_delta", "citation": citation}
                out.append(_event({"type": "content_block_delta", "index": index, "delta": delta}))
        out.append(_event({"type": "content_block_stop", "index": index}))
    delta = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details") if name in message}
    out.append(_event({"type": "message_delta", "delta": delta, "usage": message.get("usage", Raw(b"null"))}))
    return b"".join([*out, _event({"type": "message_stop"})])


def _event(event: dict[str, Any]) -> bytes:
    # A line break between JSON's tokens would end the line.
    return b"data: %b\n\n" % encode(event).replace(b"\n", b" ").replace(b"\r", b" ")
