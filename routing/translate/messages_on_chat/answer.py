"""Our whole Chat answer → a whole message of Anthropic's.

Strategy: it is said as a stream, and the stream's events are put together, so that the two cannot differ.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.rewrite.chat.reshape import events_of
from routing.translate import Context
from routing.translate.events import dumped, loaded
from routing.translate.messages_on_chat.stream import ChatToMessages
from routing.wire.members import REFUSED, Members, decode_members
from routing.wire.repair import read_object

_PARTS: Final = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
_encode: Final = msgspec.json.Encoder().encode


def whole(body: bytes, context: Context) -> bytes:
    """`body` is an answer that was accepted as one."""
    reading = read_object(body)
    assert reading is not None, "open_answer read it"
    machine = ChatToMessages(context)
    return assembled(machine.feed(events_of(body, reading)) + machine.finish())


def assembled(stream: bytes) -> bytes:
    """The message that a stream of ours makes; an error as the object that it is. Numbers keep the digits that they came with."""
    message: Members = {}
    blocks: list[dict[str, Any]] = []
    arguments = ""
    for line in stream.split(b"\n"):
        payload = line[6:] if line.startswith(b"data: ") else b""
        event = loaded(payload) if payload else None
        match event:
            case {"type": "message_start", "message": start}:
                message = {name: Raw(dumped(value)) for name, value in start.items()}
            case {"type": "content_block_start", "content_block": block}:
                blocks.append(block)
                arguments = ""
            case {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": part}}:
                arguments += part
            case {"type": "content_block_delta", "delta": delta}:
                name = _PARTS[delta["type"]]
                blocks[-1][name] += delta[name]
            case {"type": "content_block_stop"} if arguments:
                blocks[-1]["input"] = _input(arguments)
                arguments = ""
            case {"type": "message_delta", "delta": delta}:
                message |= {name: Raw(dumped(value)) for name, value in delta.items()}
                message["usage"] = decode_members(payload)["usage"]
            case {"type": "error"}:
                return payload
    content = [
        {name: value if isinstance(value, Raw) else Raw(dumped(value)) for name, value in block.items()} for block in blocks
    ]
    message["content"] = Raw(_encode(content))
    return _encode(message)


def _input(arguments: str) -> Raw:
    """The object that a model wrote; what is none cannot stand there, and is told as the text that it is."""
    try:
        text = arguments.encode()
        decode_members(text)
    except REFUSED:
        return Raw(dumped({"arguments": arguments}))
    return Raw(text)
