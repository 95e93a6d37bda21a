"""Converse's eventstream → Chat's chunks.

Rule: a frame whose checksum is wrong ends the stream with an error; so does an exception, which is a frame of its own kind.
Rule: usage comes with `metadata`, before or behind the `messageStop`; the answer ends when both are there, or with the body.
Limits: citations and pictures are left out; no request of ours asks for them.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.dialects.bedrock import FINISH, TIERS, BedrockUsage
from routing.rewrite.chat.reshape import answer_of
from routing.translate import Context
from routing.translate.chunks import DONE, ChunkWriter
from routing.translate.events import ABSENT, NOTHING, arguments_text, string_of, view
from routing.translate.frames import Framed, learned, text_in
from routing.translate.thoughts import ANTHROPIC
from routing.wire.eventstream import Frame, FrameReader, Start

_FORMAT: Final = ANTHROPIC.encode()
_encode: Final = msgspec.json.Encoder().encode


class ToolUse(msgspec.Struct, gc=False, rename="camel"):
    tool_use_id: Raw = ABSENT
    name: Raw = ABSENT
    input: Raw = ABSENT


class ReasoningText(msgspec.Struct, gc=False):
    text: Raw = ABSENT
    signature: Raw = ABSENT


class Reasoning(msgspec.Struct, gc=False, rename="camel"):
    """Of a delta: `text`, `signature`; of a block: `reasoning_text`."""

    text: Raw = ABSENT
    signature: Raw = ABSENT
    redacted_content: Raw = ABSENT
    reasoning_text: ReasoningText | None = None


class Block(msgspec.Struct, gc=False, rename="camel"):
    """What starts, a delta, or a whole block."""

    text: Raw = ABSENT
    tool_use: ToolUse | None = None
    reasoning_content: Reasoning | None = None


class Tier(msgspec.Struct, gc=False):
    type: str = ""


class Event(msgspec.Struct, gc=False, rename="camel"):
    content_block_index: int = 0
    start: Block | None = None
    delta: Block | None = None
    stop_reason: str | None = None
    usage: BedrockUsage | None = None
    service_tier: Tier | None = None


class Message(msgspec.Struct, gc=False):
    content: list[Block] | None = None


class Output(msgspec.Struct, gc=False):
    message: Message | None = None


class Answer(msgspec.Struct, gc=False, rename="camel"):
    output: Output | None = None
    stop_reason: str | None = None
    usage: BedrockUsage | None = None
    service_tier: Tier | None = None


_decode: Final = msgspec.json.Decoder(Event).decode
_decode_answer: Final = msgspec.json.Decoder(Answer).decode


class Tool:
    __slots__ = ("has_arguments", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.has_arguments = False


class ConverseToChat(Framed):
    """One stream."""

    __slots__ = (
        "_frames",
        "_is_over",
        "_learned_of",
        "_stop",
        "_text",
        "_thoughts",
        "_tier",
        "_tools",
        "_usage",
        "_writer",
        "is_framing",
    )

    def __init__(self, context: Context) -> None:
        self.is_framing = False
        self.frame = None
        self._text = b""
        """The text of the frame that was read last, if that was nothing but a piece of text."""
        self._frames = FrameReader()
        self._learned_of: Start | None = None
        """How the event that `frame` was learned of began."""
        self._writer = ChunkWriter(context.created_s)
        self._writer.name(b'""', _encode(context.model))
        self._tools: dict[int, Tool] = {}
        self._thoughts: dict[int, int] = {}
        self._stop = ""
        self._usage: BedrockUsage | None = None
        self._tier = ""
        self._is_over = False

    def text_in(self, data: bytes) -> bytes | None:
        frame, start = self.frame, self._learned_of
        if frame is None or start is None or (payload := self._frames.one(data, start)) is None:
            return None
        return text_in(frame, payload)

    def feed(self, data: bytes) -> bytes:
        if self.frame is not None:
            if (text := self.text_in(data)) is not None:
                return self.said(text)
            self.frame = None
        self.is_framing = True
        self._text = b""
        if self._is_over:
            return b""
        frames = self._frames.feed(data)
        sent = b"".join([self._take(frame) for frame in frames])
        if self._frames.problem and not self._is_over:
            sent += self._fail(_encode({"type": "stream_error", "message": self._frames.problem}))
        if self._text and len(frames) == 1 and self._frames.is_clear:
            self.frame, self._learned_of = learned(frames[0].payload, self._text, sent), frames[0].start
        return sent

    def finish(self) -> bytes:
        if self._is_over:
            return b""
        return self._conclude() if self._stop else self._told()

    def _fail(self, error: bytes) -> bytes:
        self._is_over = True
        self.is_framing = False
        return self._told() + self._writer.error(error)

    def _told(self) -> bytes:
        """The usage, which counts whether or not the answer comes to its end."""
        if self._usage is None:
            return b""
        tier = b',"service_tier":%b' % _encode(self._tier) if self._tier else b""
        return self._writer.usage(self._usage.chat.json, tier)

    def _take(self, frame: Frame) -> bytes:
        if self._is_over:
            return b""
        headers, payload = frame.headers, frame.payload
        kind = headers.get(":message-type", "event")
        if kind != "event":
            return self._fail(_error(headers, payload))
        event = view(payload, Event, _decode)
        if event is None:
            return b""
        self.is_framing = False
        match headers.get(":event-type"):
            case "contentBlockDelta":
                return self._delta(event.content_block_index, event.delta or Block())
            case "contentBlockStart":
                return self._start(event.content_block_index, event.start or Block())
            case "contentBlockStop":
                return self.close(event.content_block_index)
            case "messageStop":
                self._stop = event.stop_reason or "end_turn"
                return self._conclude() if self._usage is not None else b""
            case "metadata":
                self.count(event.usage or BedrockUsage(), event.service_tier)
                return self._conclude() if self._stop else b""
            case "messageStart":
                return b""
            case other if other is not None and other.endswith("Exception"):
                return self._fail(_error({":exception-type": other}, payload))
        return b""

    def count(self, usage: BedrockUsage, tier: Tier | None) -> None:
        self._usage = usage
        self._tier = TIERS.get(tier.type, "") if tier is not None else ""

    def _start(self, index: int, start: Block) -> bytes:
        if start.tool_use is None:
            return b""
        tool = self._tools[index] = Tool(len(self._tools))
        return self._writer.call(tool.number, string_of(start.tool_use.tool_use_id), string_of(start.tool_use.name))

    def _delta(self, index: int, delta: Block) -> bytes:
        writer = self._writer
        if bytes(delta.text) not in NOTHING:
            self._text = bytes(delta.text) if writer.has_begun else b""
            return writer.content(bytes(delta.text))
        if delta.tool_use is not None:
            tool = self._tools.get(index)
            if tool is None or bytes(delta.tool_use.input) in NOTHING:
                return b""
            tool.has_arguments = True
            self._text = string_of(delta.tool_use.input)
            return writer.arguments(tool.number, string_of(delta.tool_use.input))
        if delta.reasoning_content is not None:
            return self._thought(index, delta.reasoning_content)
        return b""

    def _thought(self, index: int, thought: Reasoning) -> bytes:
        writer = self._writer
        number = self._thoughts.setdefault(index, len(self._thoughts))
        if bytes(thought.text) not in NOTHING:
            self._text = bytes(thought.text) if writer.has_begun else b""
            return writer.reasoning(bytes(thought.text), _FORMAT, number)
        if bytes(thought.signature) not in NOTHING:
            detail = b'"reasoning_details":[{"type":"reasoning.text","signature":%b,"format":"%b","index":%d}]'
            return writer.delta(detail % (string_of(thought.signature), _FORMAT, number))
        if bytes(thought.redacted_content) not in NOTHING:
            detail = b'"reasoning_details":[{"type":"reasoning.encrypted","data":%b,"format":"%b","index":%d}]'
            return writer.delta(detail % (string_of(thought.redacted_content), _FORMAT, number))
        return b""

    def close(self, index: int) -> bytes:
        """A call without arguments has none to stream."""
        tool = self._tools.get(index)
        if tool is None or tool.has_arguments:
            return b""
        tool.has_arguments = True
        return self._writer.arguments(tool.number, b'"{}"')

    def block(self, index: int, block: Block) -> bytes:
        """A whole block of a whole answer."""
        if block.tool_use is not None:
            start = self._start(index, block)
            tool = self._tools[index]
            tool.has_arguments = True
            return start + self._writer.arguments(tool.number, arguments_text(block.tool_use.input))
        thought = block.reasoning_content
        if thought is not None and thought.reasoning_text is not None:
            parts = thought.reasoning_text
            return self._thought(index, Reasoning(text=parts.text)) + self._thought(index, Reasoning(signature=parts.signature))
        return self._delta(index, block)

    def end(self, stop: str) -> bytes:
        self._stop = stop
        return self._conclude()

    def _conclude(self) -> bytes:
        self._is_over = True
        finish = FINISH.get(self._stop, self._stop)
        return self._writer.finish(finish, self._stop) + self._told() + DONE


def whole(body: bytes, context: Context) -> bytes:
    """The body as it came for what is no answer."""
    answer = view(body, Answer, _decode_answer)
    if answer is None or answer.output is None or answer.output.message is None:
        return body
    machine = ConverseToChat(context)
    blocks = answer.output.message.content or ()
    chunks = b"".join([machine.block(index, block) for index, block in enumerate(blocks)])
    if answer.usage is not None:
        machine.count(answer.usage, answer.service_tier)
    return answer_of(chunks + machine.end(answer.stop_reason or "end_turn"))


class _Problem(msgspec.Struct, gc=False):
    message: Any = None
    Message: Any = None


_decode_problem: Final = msgspec.json.Decoder(_Problem).decode


def _error(headers: dict[str, str], payload: bytes) -> bytes:
    """An exception, named by its header, in words of its payload."""
    read = view(payload, _Problem, _decode_problem)
    told = (read.message or read.Message) if read is not None else None
    kind = headers.get(":exception-type") or headers.get(":error-code") or "error"
    message = told if isinstance(told, str) else headers.get(":error-message", "")
    return _encode({"type": kind, "message": message})
