"""Anthropic's event stream → Chat's chunks: one state machine.

Rule: nothing goes out before the first delta, so that an early error can still be a status; the end is the provider's own
(`message_stop`, or a clean end behind a `stop_reason`), never an invented one.
Strategy: texts and fragments of JSON are string literals on both sides, and copied as such.
"""

from typing import Final

import msgspec
from msgspec import Raw

from routing.dialects.anthropic import FINISH, AnthropicUsage
from routing.translate import Context
from routing.translate.chunks import DONE, REFUSAL, ChunkWriter
from routing.translate.event_translator import EventTranslator
from routing.translate.events import ABSENT, NOTHING, arguments_text, string_of, view
from routing.translate.thoughts import ANTHROPIC

_FORMAT: Final = ANTHROPIC.encode()
_SERVERS: Final = frozenset(("server_tool_use", "web_search_tool_result", "web_fetch_tool_result"))
"""What a search that was asked for leaves in the answer: the text cites what it found."""
_RESTARTED: Final = b'{"type":"api_error","message":"the provider began its answer a second time"}'
_encode: Final = msgspec.json.Encoder().encode


class Delta(msgspec.Struct, gc=False):
    type: str = ""
    text: Raw = ABSENT
    thinking: Raw = ABSENT
    signature: Raw = ABSENT
    partial_json: Raw = ABSENT
    citation: Raw = ABSENT
    stop_reason: str | None = None
    stop_details: Raw = ABSENT


class Block(msgspec.Struct, gc=False):
    type: str = ""
    id: Raw = ABSENT
    name: Raw = ABSENT
    input: Raw = ABSENT
    data: Raw = ABSENT
    text: Raw = ABSENT
    thinking: Raw = ABSENT
    signature: Raw = ABSENT


class Message(msgspec.Struct, gc=False):
    id: Raw = ABSENT
    model: Raw = ABSENT
    usage: AnthropicUsage | None = None


class Event(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: Block | None = None
    message: Message | None = None
    usage: AnthropicUsage | None = None
    error: Raw = ABSENT


class Citation(msgspec.Struct, gc=False):
    url: Raw = ABSENT
    title: Raw = ABSENT
    cited_text: Raw = ABSENT


class StopDetails(msgspec.Struct, gc=False):
    explanation: Raw = ABSENT


_decode: Final = msgspec.json.Decoder(Event).decode
_decode_citation: Final = msgspec.json.Decoder(Citation).decode
_decode_details: Final = msgspec.json.Decoder(StopDetails).decode


class Tool:
    """One call: its number among the calls, and whether any of its arguments have come. `given`: those at its start."""

    __slots__ = ("given", "has_arguments", "number")

    def __init__(self, number: int, given: Raw) -> None:
        self.number = number
        self.given = given
        self.has_arguments = False


class MessagesToChat(EventTranslator):
    """One stream."""

    __slots__ = (
        "_citations",
        "_is_news",
        "_refusal",
        "_start",
        "_stop",
        "_thoughts",
        "_tools",
        "_usage",
        "_writer",
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context.line_bytes_max)
        self._writer = ChunkWriter(context.created_s)
        self._usage = AnthropicUsage()
        self._is_news = False
        """Whether of the usage more is known than was passed on."""
        self._tools: dict[int, Tool] = {}
        self._thoughts: dict[int, int] = {}
        self._stop = ""
        self._refusal = b""
        self._start = 0
        """The hash of the event that began the answer: a provider may send it twice, and it is too large to be kept."""
        self._citations = 0

    def finish(self) -> bytes:
        sent = super().finish()
        if self._is_over:
            return sent
        return sent + (self._conclude() if self._stop else self._tell())

    def _take(self, payload: bytes) -> bytes:
        if self._is_over or not payload:
            return b""
        event = view(payload, Event, _decode)
        if event is None:
            return b""
        match event.type:
            case "content_block_delta":
                self.is_framing = False
                return self._delta(event.index, event.delta or Delta())
            case "content_block_start":
                self.is_framing = False
                return self._open(event.index, event.content_block or Block())
            case "content_block_stop":
                self.is_framing = False
                return self._close(event.index)
            case "message_start":
                return self._begin(payload, event.message or Message())
            case "message_delta":
                self.is_framing = False
                self._end(event)
            case "message_stop":
                return self._conclude() if self._stop else b""
            case "error":
                return self._fail(payload if bytes(event.error) in NOTHING else bytes(event.error))
            case "" if bytes(event.error) not in NOTHING:
                return self._fail(bytes(event.error))
        return b""

    def _fail(self, error: bytes) -> bytes:
        self._is_over = True
        self.is_framing = False
        return self._tell() + self._writer.error(error)

    def _tell(self) -> bytes:
        """The usage, which counts whether or not the answer comes to its end."""
        is_news, self._is_news = self._is_news, False
        tier = b',"service_tier":%b' % _encode(self._usage.tier) if self._usage.tier else b""
        return self._writer.usage(self._usage.chat.json, tier) if is_news else b""

    def _begin(self, payload: bytes, message: Message) -> bytes:
        """Nothing of it goes to the caller, but what the prompt came to is known from here on."""
        if self._writer.has_begun:
            return self._fail(_RESTARTED)
        if hash(payload) == self._start:
            return b""
        self._start = hash(payload)
        self._writer.name(string_of(message.id), string_of(message.model))
        self._usage.merge(message.usage)
        self._is_news = bool(self._usage.chat.prompt)
        return self._tell()

    def _open(self, index: int, block: Block) -> bytes:
        writer = self._writer
        match block.type:
            case "text":
                return writer.content(bytes(block.text)) if bytes(block.text) not in NOTHING else b""
            case "thinking":
                number = self._thoughts[index] = len(self._thoughts)
                return self._thought(block, number)
            case "redacted_thinking":
                number = self._thoughts[index] = len(self._thoughts)
                detail = b'"reasoning_details":[{"type":"reasoning.encrypted","data":%b,"format":"%b","index":%d}]'
                return writer.delta(detail % (string_of(block.data), _FORMAT, number))
            case "tool_use":
                tool = self._tools[index] = Tool(len(self._tools), block.input)
                return writer.call(tool.number, string_of(block.id), string_of(block.name))
            case kind if kind in _SERVERS:
                return b""
            case kind:
                message = f"the provider's answer has a part of type '{kind[:64]}', which Chat has no place for"
                return self._fail(_encode({"type": "api_error", "message": message}))

    def _thought(self, block: Block, number: int) -> bytes:
        """What a thinking block has at its start: everything, in a whole answer."""
        text, signature = bytes(block.thinking), bytes(block.signature)
        if text in NOTHING and signature in NOTHING:
            return b""
        said = b'"reasoning":%b,' % text if text not in NOTHING else b""
        signed = b',"signature":%b' % signature if signature not in NOTHING else b""
        detail = b'%b"reasoning_details":[{"type":"reasoning.text","text":%b%b,"format":"%b","index":%d}]'
        return self._writer.delta(detail % (said, string_of(block.thinking), signed, _FORMAT, number))

    def _delta(self, index: int, delta: Delta) -> bytes:
        writer = self._writer
        match delta.type:
            case "text_delta":
                self._text = b"" if bytes(delta.text) in NOTHING or not writer.has_begun else bytes(delta.text)
                return writer.content(bytes(delta.text)) if bytes(delta.text) not in NOTHING else b""
            case "thinking_delta":
                if bytes(delta.thinking) in NOTHING:
                    return b""
                self._text = bytes(delta.thinking) if writer.has_begun else b""
                return writer.reasoning(bytes(delta.thinking), _FORMAT, self._number(index))
            case "signature_delta":
                detail = b'"reasoning_details":[{"type":"reasoning.text","signature":%b,"format":"%b","index":%d}]'
                return writer.delta(detail % (string_of(delta.signature), _FORMAT, self._number(index)))
            case "input_json_delta":
                tool = self._tools.get(index)
                if tool is not None and bytes(delta.partial_json) not in NOTHING:
                    tool.has_arguments = True
                    self._text = bytes(delta.partial_json)
                    return writer.arguments(tool.number, bytes(delta.partial_json))
            case "citations_delta":
                return self._citation(bytes(delta.citation))
        return b""

    def _number(self, index: int) -> int:
        return self._thoughts.setdefault(index, len(self._thoughts))

    def _citation(self, payload: bytes) -> bytes:
        """Of a page; one of a document that the request brought has no counterpart."""
        citation = view(payload, Citation, _decode_citation)
        if citation is None or bytes(citation.url) in NOTHING:
            return b""
        self._citations += 1
        return self._writer.citation(self._citations - 1, bytes(citation.url), string_of(citation.title))

    def _close(self, index: int) -> bytes:
        """A call without arguments has none to stream: its input is `{}`, or what it began with."""
        tool = self._tools.get(index)
        if tool is None or tool.has_arguments:
            return b""
        tool.has_arguments = True
        return self._writer.arguments(tool.number, arguments_text(tool.given))

    def _end(self, event: Event) -> None:
        self._usage.merge(event.usage)
        # One that says nothing of the answer must not claim for all of it what was told at its beginning.
        self._is_news = self._is_news or (event.usage is not None and event.usage.tells_output)
        if event.delta is not None and event.delta.stop_reason:
            self._stop = event.delta.stop_reason
            details = view(bytes(event.delta.stop_details) or b"null", StopDetails, _decode_details)
            if details is not None and bytes(details.explanation) not in NOTHING:
                self._refusal = bytes(details.explanation)

    def _conclude(self) -> bytes:
        self._is_over = True
        self.is_framing = False
        writer, refusal = self._writer, REFUSAL + self._refusal if self._refusal else b""
        finish = writer.finish(FINISH.get(self._stop, self._stop), self._stop, delta=refusal)
        return finish + self._tell() + DONE
