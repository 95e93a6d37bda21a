"""OpenAI's Responses events → Chat's chunks: one state machine. A whole response is said as the stream that it would have been.

Rule: `response.completed`, `.incomplete` and `.failed` end the answer; an `error` event too, flat or nested (report 57).
Rule: what no delta said of an item is said when the item is done, or with the end if nothing was said at all; servers that only
look like OpenAI's send items whole.
"""

from typing import Final

import msgspec
from msgspec import Raw

from routing.dialects.responses import ToolUsage, Usage, chat_usage
from routing.rewrite.chat.reshape import answer_of
from routing.translate import Context
from routing.translate.chunks import DONE, ChunkWriter
from routing.translate.event_translator import EventTranslator
from routing.translate.events import ABSENT, NOTHING, string_of, view
from routing.translate.thoughts import OPENAI

_FORMAT: Final = OPENAI.encode()
_GAP: Final = b'"\\n\\n"'
_encode: Final = msgspec.json.Encoder().encode


class Text(msgspec.Struct, gc=False):
    type: str = ""
    text: Raw = ABSENT
    refusal: Raw = ABSENT
    annotations: list[Raw] | None = None


class Item(msgspec.Struct, gc=False):
    type: str = ""
    id: Raw = ABSENT
    call_id: Raw = ABSENT
    name: Raw = ABSENT
    arguments: Raw = ABSENT
    encrypted_content: Raw = ABSENT
    summary: list[Text] | None = None
    content: list[Text] | None = None


class Incomplete(msgspec.Struct, gc=False):
    reason: str = ""


class Response(msgspec.Struct, gc=False):
    id: Raw = ABSENT
    model: Raw = ABSENT
    status: str = ""
    error: Raw = ABSENT
    incomplete_details: Incomplete | None = None
    output: list[Item] | None = None
    usage: Usage | None = None
    tool_usage: ToolUsage | None = None
    service_tier: str | None = None


class Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: Raw = ABSENT
    output_index: int = -1
    summary_index: int = 0
    item: Item | None = None
    response: Response | None = None
    annotation: Raw = ABSENT
    error: Raw = ABSENT


class Page(msgspec.Struct, gc=False):
    type: str = ""
    url: Raw = ABSENT
    title: Raw = ABSENT
    start_index: int = 0
    end_index: int = 0


_decode: Final = msgspec.json.Decoder(Event).decode
_decode_response: Final = msgspec.json.Decoder(Response).decode
_decode_page: Final = msgspec.json.Decoder(Page).decode
_CALLS: Final = frozenset(("function_call", "custom_tool_call", "mcp_call"))


class Tool:
    __slots__ = ("has_arguments", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.has_arguments = False


class ResponsesToChat(EventTranslator):
    """One stream."""

    __slots__ = ("_has_summary", "_pages", "_said_of", "_thoughts", "_tools", "_writer")

    def __init__(self, context: Context) -> None:
        super().__init__(context.line_bytes_max)
        self._writer = ChunkWriter(context.created_s)
        self._tools: dict[int, Tool] = {}
        self._said_of: set[int] = set()
        """Indices of the messages of which deltas have said something."""
        self._thoughts = 0
        self._pages = 0
        self._has_summary = False

    def _take(self, payload: bytes) -> bytes:
        if self._is_over:
            return b""
        event = view(payload, Event, _decode)
        if event is None:
            return b""
        kind = event.type
        if kind in ("response.created", "response.in_progress", "response.queued"):
            self._name(event.response or Response())
            return b""
        if kind in ("response.completed", "response.incomplete") and not self._writer.has_begun:
            return self.whole(event.response or Response(), kind.rpartition(".")[2])
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            return self.conclude(event.response or Response(), kind.rpartition(".")[2])
        if kind == "error" or (not kind and bytes(event.error) not in NOTHING):
            return self._fail(payload if bytes(event.error) in NOTHING else bytes(event.error))
        self.is_framing = False
        return self._said(kind, event)

    def _said(self, kind: str, event: Event) -> bytes:
        writer, delta = self._writer, bytes(event.delta)
        match kind:
            case "response.output_text.delta" if delta[:1] == b'"' and delta != b'""':
                self._text = delta if writer.has_begun else b""
                self._said_of.add(event.output_index)
                return writer.content(delta)
            case "response.function_call_arguments.delta" if delta[:1] == b'"' and delta != b'""':
                tool = self._tools.get(event.output_index)
                if tool is None:
                    return b""
                tool.has_arguments = True
                return writer.arguments(tool.number, delta)
            case "response.refusal.delta" if delta[:1] == b'"':
                self._said_of.add(event.output_index)
                return writer.delta(b'"refusal":' + delta)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" if delta[:1] == b'"':
                self._has_summary = True
                return self._thought(delta)
            case "response.reasoning_summary_part.added" if event.summary_index and self._has_summary:
                return self._thought(_GAP)
            case "response.output_text.annotation.added":
                return self.page(bytes(event.annotation))
            case "response.output_item.added" if event.item is not None:
                return self.begin(event.output_index, event.item)
            case "response.output_item.done" if event.item is not None:
                return self.done(event.output_index, event.item)
        return b""

    def _name(self, response: Response) -> None:
        self._writer.name(string_of(response.id), string_of(response.model))

    def _fail(self, error: bytes) -> bytes:
        self._is_over = True
        self.is_framing = False
        return self._writer.error(error)

    def _thought(self, literal: bytes) -> bytes:
        detail = b'"reasoning":%b,"reasoning_details":[{"type":"reasoning.summary","summary":%b,"format":"%b","index":%d}]'
        return self._writer.delta(detail % (literal, literal, _FORMAT, self._thoughts))

    def page(self, annotation: bytes) -> bytes:
        page = view(annotation, Page, _decode_page)
        if page is None or bytes(page.url) in NOTHING:
            return b""
        self._pages += 1
        place = (page.start_index, page.end_index)
        return self._writer.citation(self._pages - 1, bytes(page.url), string_of(page.title), place=place)

    def begin(self, index: int, item: Item) -> bytes:
        if item.type == "function_call":
            tool = self._tools[index] = Tool(len(self._tools))
            return self._writer.call(tool.number, string_of(item.call_id), string_of(item.name))
        if item.type in _CALLS:
            message = f"the provider's answer has an item of type '{item.type}', which Chat has no place for here"
            return self._fail(_encode({"type": "server_error", "message": message}))
        return b""

    def done(self, index: int, item: Item) -> bytes:
        if item.type == "function_call":
            tool = self._tools.get(index)
            sent = b""
            if tool is None:
                sent = self.begin(index, item)
                tool = self._tools[index]
            if not tool.has_arguments:
                tool.has_arguments = True
                arguments = string_of(item.arguments)
                sent += self._writer.arguments(tool.number, arguments if arguments != b'""' else b'"{}"')
            return sent
        if item.type == "message" and index not in self._said_of:
            self._said_of.add(index)
            return b"".join([self._spoken(text) for text in item.content or ()])
        if item.type == "reasoning":
            return (b"" if self._has_summary else self._summary(item)) + self._sealed(item)
        return b""

    def _summary(self, item: Item) -> bytes:
        texts = [bytes(text.text) for text in item.summary or item.content or () if bytes(text.text) not in NOTHING]
        return b"".join([(self._thought(_GAP) if number else b"") + self._thought(text) for number, text in enumerate(texts)])

    def _sealed(self, item: Item) -> bytes:
        """A reasoning item is whole: what is encrypted of it goes back with the next request, under its id."""
        self._has_summary = False
        if bytes(item.encrypted_content) in NOTHING:
            self._thoughts += 1
            return b""
        detail = b'"reasoning_details":[{"type":"reasoning.encrypted","id":%b,"data":%b,"format":"%b","index":%d}]'
        made = self._writer.delta(detail % (string_of(item.id), string_of(item.encrypted_content), _FORMAT, self._thoughts + 1))
        self._thoughts += 2
        return made

    def conclude(self, response: Response, status: str) -> bytes:
        if bytes(response.id) not in NOTHING:
            self._name(response)
        usage = b""
        if response.usage is not None:
            tier = b',"service_tier":%b' % _encode(response.service_tier) if response.service_tier else b""
            usage = self._writer.usage(chat_usage(response.usage, response.tool_usage).json, tier)
        if status == "failed":
            error = bytes(response.error)
            return usage + self._fail(error if error not in NOTHING else b'{"message":"the response failed"}')
        self._is_over = True
        self.is_framing = False
        native, finish = status, "tool_calls" if self._tools else "stop"
        if status == "incomplete":
            native = response.incomplete_details.reason if response.incomplete_details is not None else ""
            finish = "content_filter" if native == "content_filter" else "length"
        return self._writer.finish(finish, native) + usage + DONE

    def whole(self, response: Response, status: str) -> bytes:
        """The chunks that a whole response would have been."""
        if bytes(response.id) not in NOTHING:
            self._name(response)
        out: list[bytes] = []
        for index, item in enumerate(response.output or ()):
            out += (self.begin(index, item), self.done(index, item))
            if self._is_over:
                return b"".join(out)
        return b"".join([*out, self.conclude(response, status)])

    def _spoken(self, text: Text) -> bytes:
        if bytes(text.refusal) not in NOTHING:
            return self._writer.delta(b'"refusal":' + bytes(text.refusal))
        if bytes(text.text) in NOTHING:
            return b""
        pages = [self.page(bytes(each)) for each in text.annotations or ()]
        return self._writer.content(bytes(text.text)) + b"".join(pages)


def whole(body: bytes, context: Context) -> bytes:
    """An object with `error` for one; the body as it came for what is no response."""
    response = view(body, Response, _decode_response)
    if response is None or (response.output is None and bytes(response.error) in NOTHING):
        return body
    if response.output is None:
        return answer_of(ChunkWriter(0).error(bytes(response.error)))
    return answer_of(ResponsesToChat(context).whole(response, response.status))
