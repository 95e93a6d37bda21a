"""Cohere's v2 events → Chat's chunks: one state machine. A whole answer is said as the stream that it would have been.

Rule: a tool plan and thoughts are reasoning; the end is `message-end`, which has the usage. Limits: citations have no
counterpart in Chat, whose annotations are of pages: Cohere's are of what tools answered, and of documents, which no request of
ours brings.
"""

from typing import Final

import msgspec
from msgspec import Raw

from routing.dialects.cohere import FINISH, Usage
from routing.rewrite.chat.reshape import answer_of
from routing.translate import Context
from routing.translate.chunks import DONE, ChunkWriter
from routing.translate.event_translator import EventTranslator
from routing.translate.events import ABSENT, NOTHING, string_of, view

_encode: Final = msgspec.json.Encoder().encode


class Function(msgspec.Struct, gc=False):
    name: Raw = ABSENT
    arguments: Raw = ABSENT


class Call(msgspec.Struct, gc=False):
    id: Raw = ABSENT
    function: Function | None = None


class Content(msgspec.Struct, gc=False):
    type: str = ""
    text: Raw = ABSENT
    thinking: Raw = ABSENT


class DeltaMessage(msgspec.Struct, gc=False):
    content: Content | None = None
    tool_plan: Raw = ABSENT
    tool_calls: Call | None = None


class Delta(msgspec.Struct, gc=False):
    message: DeltaMessage | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    error: Raw = ABSENT


class Event(msgspec.Struct, gc=False):
    type: str = ""
    id: Raw = ABSENT
    index: int = 0
    delta: Delta | None = None
    message: Raw = ABSENT


class WholeMessage(msgspec.Struct, gc=False):
    content: list[Content] | None = None
    tool_plan: Raw = ABSENT
    tool_calls: list[Call] | None = None


class Answer(msgspec.Struct, gc=False):
    id: Raw = ABSENT
    message: WholeMessage | None = None
    finish_reason: str | None = None
    usage: Usage | None = None


_decode: Final = msgspec.json.Decoder(Event).decode
_decode_answer: Final = msgspec.json.Decoder(Answer).decode


class CohereToChat(EventTranslator):
    """One stream."""

    __slots__ = ("_calls", "_model", "_numbers", "_writer")

    def __init__(self, context: Context) -> None:
        super().__init__(context.line_bytes_max)
        self._writer = ChunkWriter(context.created_s)
        self._model = _encode(context.model)
        self._calls: dict[int, list[bool]] = {}
        """Index of a call → whether it has had arguments, in a list of one; calls are numbered as they began."""
        self._numbers: dict[int, int] = {}

    def _take(self, payload: bytes) -> bytes:
        if self._is_over:
            return b""
        event = view(payload, Event, _decode)
        if event is None:
            return b""
        delta = event.delta or Delta()
        message = delta.message or DeltaMessage()
        if not event.type and bytes(event.message) not in NOTHING:
            # Its errors are `{"message": …}`, wherever they come.
            return self._fail(payload)
        self.is_framing = False
        match event.type:
            case "message-start":
                self.is_framing = True
                self.name(event.id)
            case "content-start" | "content-delta" if message.content is not None:
                return self._content(message.content)
            case "tool-plan-delta":
                return self._thought(bytes(message.tool_plan))
            case "tool-call-start" if message.tool_calls is not None:
                return self.begin(event.index, message.tool_calls)
            case "tool-call-delta" if message.tool_calls is not None:
                return self._arguments(event.index, message.tool_calls)
            case "tool-call-end":
                return self.close(event.index)
            case "message-end":
                if bytes(delta.error) not in NOTHING:
                    return self._told(delta.usage) + self._fail(bytes(delta.error))
                return self.end(delta.finish_reason or "COMPLETE", delta.usage)
        return b""

    def name(self, id: Raw) -> None:
        self._writer.name(string_of(id), self._model)

    def _fail(self, error: bytes) -> bytes:
        self._is_over = True
        self.is_framing = False
        return self._writer.error(error)

    def _content(self, content: Content) -> bytes:
        text = bytes(content.text)
        if text[:1] == b'"' and text != b'""':
            self._text = text if self._writer.has_begun else b""
            return self._writer.content(text)
        return self._thought(bytes(content.thinking))

    def _thought(self, literal: bytes) -> bytes:
        if literal[:1] != b'"' or literal == b'""':
            return b""
        return self._writer.delta(b'"reasoning":' + literal)

    def begin(self, index: int, call: Call) -> bytes:
        if index in self._numbers:
            return b""
        function = call.function or Function()
        number = self._numbers[index] = len(self._numbers)
        self._calls[index] = [False]
        return self._writer.call(number, string_of(call.id), string_of(function.name)) + self._arguments(index, call)

    def _arguments(self, index: int, call: Call) -> bytes:
        function = call.function or Function()
        literal = bytes(function.arguments)
        if index not in self._numbers or literal[:1] != b'"' or literal == b'""':
            return b""
        self._calls[index][0] = True
        return self._writer.arguments(self._numbers[index], literal)

    def close(self, index: int) -> bytes:
        """Arguments may be null or empty: there are none."""
        has_arguments = self._calls.get(index)
        if has_arguments is None or has_arguments[0]:
            return b""
        has_arguments[0] = True
        return self._writer.arguments(self._numbers[index], b'"{}"')

    def end(self, reason: str, usage: Usage | None) -> bytes:
        self._is_over = True
        self.is_framing = False
        sent = b"".join([self.close(index) for index in self._numbers])
        sent += self._writer.finish(FINISH.get(reason, reason), reason)
        return sent + self._told(usage) + DONE

    def _told(self, usage: Usage | None) -> bytes:
        return self._writer.usage(usage.chat.json) if usage is not None and usage.is_told else b""

    def whole(self, answer: Answer, message: WholeMessage) -> bytes:
        self.name(answer.id)
        out = [self._thought(bytes(message.tool_plan))]
        out += [self._content(content) for content in message.content or ()]
        out += [self.begin(index, call) for index, call in enumerate(message.tool_calls or ())]
        return b"".join([*out, self.end(answer.finish_reason or "COMPLETE", answer.usage)])


def whole(body: bytes, context: Context) -> bytes:
    """The body as it came for what is no answer."""
    answer = view(body, Answer, _decode_answer)
    if answer is None or answer.message is None:
        return body
    return answer_of(CohereToChat(context).whole(answer, answer.message))
