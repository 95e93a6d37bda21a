"""Chat's chunks → OpenAI's Responses events: one state machine.

Rule: items come in the order in which they began; calls of tools, whose fragments may come mixed, are done at the end, where each
of them is whole. Sequence numbers have no gap.
Rule: the last event has the whole response, as clients read it there: id, output, usage with its `reasoning_tokens`.
Limits: choices behind the first have no place. A picture that the model made is told in a text. Memory is that of the answer.
"""

from typing import Final

import msgspec

from routing.plan.refusal import Refusal
from routing.translate import Context
from routing.translate.chat_view import (
    Call,
    Calls,
    Delta,
    Detail,
    Page,
    bound_pieces,
    decoded,
    literal_of,
    pages_of,
    pictures_of,
    text_of,
    texts_of,
)
from routing.translate.event_translator import ChunkTranslator
from routing.translate.frames import Frame
from routing.translate.responses_on_chat.output import DELTA, DONE, EMPTY, Item, Kind, tool_usage, usage_json
from routing.translate.responses_on_chat.request import Memo
from routing.translate.thoughts import ANTHROPIC, Seal, sealed

_DEFAULTS: Final = {
    "completed_at": b"null",
    "frequency_penalty": b"null",
    "instructions": b"null",
    "metadata": b"{}",
    "parallel_tool_calls": b"true",
    "presence_penalty": b"null",
    "temperature": b"null",
    "tool_choice": b'"auto"',
    "tools": b"[]",
    "top_p": b"null",
}
"""What clients require of a response (OpenRouter's SDKs), where the request does not say. When it was completed is not known."""
_TIERS: Final = frozenset(b'"%b"' % tier for tier in (b"auto", b"default", b"flex", b"scale", b"priority", b"fast", b"ultrafast"))
"""Those that clients know; others (Groq's "on_demand") are left out."""
_ERROR_CODES: Final = {402: "insufficient_quota", 429: "rate_limit_exceeded", 400: "invalid_prompt"}
_encode: Final = msgspec.json.Encoder().encode


class ChatToResponses(ChunkTranslator):
    """One stream."""

    __slots__ = ("_called", "_calls", "_gen_id", "_head", "_items", "_number", "_open", "_tools")

    def __init__(self, context: Context) -> None:
        super().__init__(context.line_bytes_max)
        memo: Memo = context.memo or Memo()
        self._gen_id = context.gen_id
        self._tools = memo.tools
        echo = {name: bytes(memo.echo.get(name, default)) for name, default in _DEFAULTS.items()}
        echo |= {name: bytes(raw) for name, raw in memo.echo.items()}
        common = b'{"id":%b,"object":"response","created_at":%d,"model":%b,"store":false,"previous_response_id":null'
        head = common % (_encode(context.gen_id), context.created_s, _encode(context.model))
        self._head = head + b"".join([b',"%b":%b' % (name.encode(), value) for name, value in echo.items()])
        self._number = 0
        self._items: list[Item] = []
        self._open: Item | None = None
        self._calls = Calls()
        self._called: list[Item] = []

    def said(self, text: bytes) -> bytes:
        assert self.frame is not None
        assert self._open is not None
        self._open.pieces.append(text)
        (before, middle, after), number = self.frame.new, self._number
        self._number = number + 1
        return b"%b%d%b%b%b" % (before, number, middle, text, after)

    def _learned(self, data: bytes, sent: bytes) -> Frame | None:
        """As `learned`, with the sequence number taken out of what goes out."""
        frame = super()._learned(data, sent)
        number = b'"sequence_number":%d,' % (self._number - 1)
        if frame is None or self._open is None or len(frame.new) != 2 or number not in frame.new[0]:
            return None
        before, _, after = frame.new[0].partition(number)
        return frame._replace(new=(before + b'"sequence_number":', b"," + after, frame.new[1]))

    def fail(self, refusal: Refusal, usage: bytes = b"") -> bytes:
        """The last event says that the response failed, and what it used."""
        if self._is_over:
            return b""
        self._is_over = True
        self._usage = usage or self._usage
        out = [] if self._has_begun else [self._begin()]
        return b"".join([*out, self._failed(_ERROR_CODES.get(refusal.status, "server_error"), refusal.message)])

    def _event(self, name: bytes, body: bytes) -> bytes:
        self._number += 1
        return b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (name, name, self._number - 1, body)

    def _response(self, status: bytes, rest: bytes) -> bytes:
        return b'"response":%b,"status":"%b"%b}' % (self._head, status, rest)

    def _begin(self) -> bytes:
        self._has_begun = True
        body = self._response(b"in_progress", b',"error":null,"incomplete_details":null,"output":[],"usage":null')
        return self._event(b"response.created", body) + self._event(b"response.in_progress", body)

    def _delta(self, delta: Delta, out: list[bytes]) -> None:
        details = delta.reasoning_details or ()
        if thought := delta.thought or text_of(details):
            self._say("reasoning", thought, out)
        for detail in details:
            self._seal(detail, out)
        for kind, text in texts_of(delta.content):
            self._say("reasoning" if kind == "thinking" else "text", text, out)
        if refusal := literal_of(delta.refusal):
            self._say("refusal", refusal, out)
        for page in pages_of(delta.annotations):
            self._annotate(page, out)
        for picture in pictures_of(delta.images):
            self._say("text", picture.note, out)
        for call in delta.tool_calls or ():
            self._call(call, out)

    def _add(self, kind: Kind) -> Item:
        item = Item(kind, len(self._items), self._gen_id)
        self._items.append(item)
        return item

    def _announce(self, item: Item) -> bytes:
        item.is_announced = True
        begun = item.json(b"in_progress", is_empty=True)
        return self._event(b"response.output_item.added", b'"output_index":%d,"item":%b' % (item.number, begun))

    def _opened(self, kind: Kind, out: list[bytes]) -> Item:
        """The item of that kind that is open, or a new one."""
        item = self._open
        if item is None or item.kind != kind or item.encrypted:
            self._close(out)
            item = self._open = self._add(kind)
            out.append(self._announce(item))
        return item

    def _say(self, kind: Kind, text: bytes, out: list[bytes]) -> None:
        item = self._opened(kind, out)
        if not item.has_part:
            item.has_part = True
            out.append(self._event(b"response.content_part.added", b'%b,"part":%b' % (item.place, item.part(EMPTY))))
        item.pieces.append(text[1:-1])
        more = b',"logprobs":[]' if kind == "text" else b""
        out.append(self._event(DELTA[kind], b'%b,"delta":%b%b' % (item.place, text, more)))
        self._text = text

    def _seal(self, detail: Detail, out: list[bytes]) -> None:
        """A signature belongs to the thoughts that it stands behind; what is encrypted is an item without a text."""
        signature, data = literal_of(detail.signature), literal_of(detail.data)
        if not signature and not data:
            return
        if not signature:
            self._close(out)
        item = self._opened("reasoning", out)
        kind = "signature" if signature else "encrypted"
        text = decoded(signature or data)
        item.encrypted = _encode(sealed(Seal(detail.format or ANTHROPIC, kind, detail.id or "", text)))
        self._close(out)

    def _annotate(self, page: Page, out: list[bytes]) -> None:
        """Of the last text; before the first there is none that it could be of."""
        item = next((each for each in reversed(self._items) if each.kind == "text"), None)
        if item is None:
            item = self._opened("text", out)
        bound_pieces(len(item.annotations), "annotations")
        made = b'{"type":"url_citation","url":%b,"title":%b,"start_index":%d,"end_index":%d}'
        made %= (page.url, page.title, page.start, page.end)
        body = b'%b,"annotation_index":%d,"annotation":%b' % (item.place, len(item.annotations), made)
        out.append(self._event(b"response.output_text.annotation.added", body))
        item.annotations.append(made)

    def _call(self, call: Call, out: list[bytes]) -> None:
        place = self._calls.place(call)
        if place == len(self._called):
            self._close(out)
            self._called.append(self._add("call"))
        item = self._called[place]
        item.call_id = item.call_id or literal_of(call.id)
        if not item.name and (name := literal_of(call.function.name)):
            item.name = name
            item.origin = self._tools.get(decoded(name)) if self._tools else None
        fresh = [text[1:-1]] if (text := literal_of(call.function.arguments)) else []
        item.pieces += fresh
        if not item.name:
            return
        if not item.is_announced:
            item.call_id = item.call_id or _encode(f"call_{self._gen_id}_{place}")
            out.append(self._announce(item))
            fresh = item.pieces
        if fresh and not (item.origin is not None and item.origin.is_custom):
            body = b'%b,"delta":"%b"' % (item.place, b"".join(fresh))
            out.append(self._event(b"response.function_call_arguments.delta", body))

    def _close(self, out: list[bytes]) -> None:
        item, self._open = self._open, None
        if item is None:
            return
        if item.has_part:
            name, member = DONE[item.kind]
            more = b',"logprobs":[]' if item.kind == "text" else b""
            out.append(self._event(name, b'%b,"%b":%b%b' % (item.place, member, item.text, more)))
            out.append(self._event(b"response.content_part.done", b'%b,"part":%b' % (item.place, item.part(item.text))))
        out.append(self._done(item))

    def _done(self, item: Item) -> bytes:
        done = item.json(b"completed")
        return self._event(b"response.output_item.done", b'"output_index":%d,"item":%b' % (item.number, done))

    def _end_call(self, item: Item, out: list[bytes]) -> None:
        if not item.is_announced:
            item.name = item.name or EMPTY
            item.call_id = item.call_id or _encode(f"call_{self._gen_id}_{item.number}")
            out.append(self._announce(item))
        if item.origin is not None and item.origin.is_custom:
            out.append(self._event(b"response.custom_tool_call_input.delta", b'%b,"delta":%b' % (item.place, item.input)))
            out.append(self._event(b"response.custom_tool_call_input.done", b'%b,"input":%b' % (item.place, item.input)))
        else:
            if not item.pieces:
                item.pieces.append(b"{}")
            name = item.name if item.origin is None else _encode(item.origin.name)
            body = b'%b,"name":%b,"arguments":%b' % (item.place, name, item.text)
            out.append(self._event(b"response.function_call_arguments.done", body))
        out.append(self._done(item))

    def _conclude(self) -> bytes:
        if self._is_over:
            return b""
        self._is_over = True
        out = [] if self._has_begun else [self._begin()]
        self._close(out)
        for item in self._called:
            self._end_call(item, out)
        match self._finish:
            case "error":
                out.append(self._failed("server_error", "the provider could not finish its answer"))
            case "length" | "content_filter":
                reason = b"max_output_tokens" if self._finish == "length" else b"content_filter"
                rest = b',"error":null,"incomplete_details":{"reason":"%b"}%b' % (reason, self._outcome())
                out.append(self._event(b"response.incomplete", self._response(b"incomplete", rest)))
            case _:
                rest = b',"error":null,"incomplete_details":null' + self._outcome()
                out.append(self._event(b"response.completed", self._response(b"completed", rest)))
        return b"".join(out)

    def _outcome(self) -> bytes:
        output = b",".join([item.json(b"completed") for item in self._items if item is not self._open])
        tier = b',"service_tier":%b' % self._tier if self._tier in _TIERS else b""
        return b',"output":[%b],"usage":%b%b%b' % (output, usage_json(self._usage), tool_usage(self._usage), tier)

    def _failed(self, code: str, message: str) -> bytes:
        rest = b',"error":%b,"incomplete_details":null%b' % (_encode({"code": code, "message": message}), self._outcome())
        return self._event(b"response.failed", self._response(b"failed", rest))
