"""Chat's chunks → Gemini's stream of answers: one state machine; a whole answer is that stream put together.

Rule: a call of a tool goes out whole, so calls wait for the end; so do the finish and the usage, which are one last event. Of an
answer that breaks, the calls that are whole go out before its error: they are charged, and no piece of them has gone out.
Limits: choices behind the first have no place; of a page that is quoted, where in the text it stands is not told.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.dialects.chat_usage import count
from routing.plan.refusal import Refusal
from routing.rewrite.chat.reshape import events_of
from routing.rewrite.gemini import error_body
from routing.translate import Context
from routing.translate.chat_view import (
    Call,
    Calls,
    CompletionDetails,
    Delta,
    Detail,
    PromptDetails,
    bound_pieces,
    decoded,
    literal_of,
    pages_of,
    pictures_of,
    read_usage,
    text_of,
    texts_of,
)
from routing.translate.event_translator import ChunkTranslator
from routing.translate.events import NOTHING
from routing.translate.gemini_on_chat.contents import sealed_bytes
from routing.translate.reader import joined
from routing.translate.thoughts import ANTHROPIC, GEMINI, Seal
from routing.wire.members import REFUSED, decode_members
from routing.wire.repair import read_object

FINISH: Final = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "function_call": "STOP",
    "content_filter": "SAFETY",
}
_TRAFFIC: Final = {b'"default"': b"ON_DEMAND", b'"priority"': b"ON_DEMAND_PRIORITY", b'"flex"': b"ON_DEMAND_FLEX"}
_encode: Final = msgspec.json.Encoder().encode
_decode_parts: Final = msgspec.json.Decoder(list[Raw]).decode


class Called:
    """One call, its arguments in pieces."""

    __slots__ = ("id", "name", "pieces")

    def __init__(self) -> None:
        self.id = self.name = b""
        self.pieces: list[bytes] = []

    @property
    def is_whole(self) -> bool:
        """Whether its arguments have come to their end. Of one that has none yet that cannot be known."""
        return bool(self.pieces) and _is_object(decoded(joined(self.pieces)).encode())

    def part(self) -> bytes:
        text = joined(self.pieces) if self.pieces else b'"{}"'
        arguments = decoded(text).encode() or b"{}"
        if not _is_object(arguments):
            # What a model wrote that is no object cannot stand there; it is told as the text that it is.
            arguments = b'{"arguments":%b}' % text
        named = b'"id":%b,' % self.id if self.id else b""
        return b'{"functionCall":{%b"name":%b,"args":%b}}' % (named, self.name or b'""', arguments)


def _is_object(text: bytes) -> bool:
    try:
        decode_members(text)
    except REFUSED:
        return False
    return True


class ChatToGemini(ChunkTranslator):
    """One stream."""

    __slots__ = ("_called", "_calls", "_names", "_pages", "_tail")

    def __init__(self, context: Context) -> None:
        super().__init__(context.line_bytes_max)
        self._names: dict[str, str] = context.memo or {}
        self._calls = Calls()
        self._called: list[Called] = []
        self._pages: list[bytes] = []
        """That the answer quotes, as Gemini's chunks of grounding."""
        self._tail = b'"modelVersion":%b,"responseId":%b}' % (_encode(context.model), _encode(context.gen_id))

    def fail(self, refusal: Refusal, usage: bytes = b"") -> bytes:
        """An error is the last event."""
        if self._is_over:
            return b""
        self._is_over = True
        calls = b",".join([called.part() for called in self._called if called.is_whole])
        return (self._event(calls) if calls else b"") + b"data: %b\r\n\r\n" % error_body(refusal)

    def _begin(self) -> bytes:
        self._has_begun = True
        return b""

    def _event(self, parts: bytes, more: bytes = b"", behind: bytes = b"") -> bytes:
        candidate = b'{"content":{"parts":[%b],"role":"model"},%b"index":0}' % (parts, more)
        return b'data: {"candidates":[%b],%b%b\r\n\r\n' % (candidate, behind, self._tail)

    def _delta(self, delta: Delta, out: list[bytes]) -> None:
        details = delta.reasoning_details or ()
        if thought := delta.thought or text_of(details):
            self._say(b'{"text":%b,"thought":true}' % thought, thought, out)
        for detail in details:
            self._sign(detail, out)
        for kind, text in texts_of(delta.content):
            self._say((b'{"text":%b,"thought":true}' if kind == "thinking" else b'{"text":%b}') % text, text, out)
        if refusal := literal_of(delta.refusal):
            self._say(b'{"text":%b}' % refusal, refusal, out)
        for media_type, data, url in pictures_of(delta.images):
            here = b'{"inlineData":{"mimeType":"%b","data":"%b"}}' % (media_type, data)
            out.append(self._event(b'{"fileData":{"fileUri":"%b"}}' % url if url else here))
        for page in pages_of(delta.annotations):
            bound_pieces(len(self._pages), "annotations")
            self._pages.append(b'{"web":{"uri":%b,"title":%b}}' % (page.url, page.title))
        for call in delta.tool_calls or ():
            self._call(call)

    def _say(self, part: bytes, text: bytes, out: list[bytes]) -> None:
        out.append(self._event(part))
        self._text = text

    def _sign(self, detail: Detail, out: list[bytes]) -> None:
        signature, data = literal_of(detail.signature), literal_of(detail.data)
        if not signature and not data:
            return
        text = decoded(signature or data)
        if (detail.format or ANTHROPIC) != GEMINI:
            kind = "signature" if signature else "encrypted"
            text = sealed_bytes(Seal(detail.format or ANTHROPIC, kind, detail.id or "", text))
        is_thought = b',"thought":true' if signature else b""
        out.append(self._event(b'{"text":""%b,"thoughtSignature":%b}' % (is_thought, _encode(text))))

    def _call(self, call: Call) -> None:
        place = self._calls.place(call)
        if place == len(self._called):
            self._called.append(Called())
        called = self._called[place]
        called.id = called.id or literal_of(call.id)
        called.name = called.name or self._named(literal_of(call.function.name))
        if arguments := literal_of(call.function.arguments):
            called.pieces.append(arguments)

    def _named(self, name: bytes) -> bytes:
        """The tool's name as the request had it."""
        return _encode(self._names.get(decoded(name), decoded(name))) if self._names and name else name

    def _conclude(self) -> bytes:
        if self._is_over:
            return b""
        if self._finish == "error":
            return self.fail(Refusal(502, "provider_error", "the provider could not finish its answer"))
        self._is_over = True
        parts = b",".join([called.part() for called in self._called])
        finish = b'"finishReason":"%b",' % FINISH.get(self._finish, "STOP").encode()
        if self._pages:
            finish += b'"groundingMetadata":{"groundingChunks":[%b]},' % b",".join(self._pages)
        return self._event(parts, finish, b'"usageMetadata":%b,' % usage_json(self._usage, self._tier))


def usage_json(usage: bytes, tier: bytes = b"") -> bytes:
    """Our usage object in Google's words, with its cost. `candidatesTokenCount` are those beside the thoughts."""
    read = read_usage(usage) if usage else None
    if read is None:
        return b"{}"
    cached = count((read.prompt_tokens_details or PromptDetails()).cached_tokens)
    prompt, completion = count(read.prompt_tokens), count(read.completion_tokens)
    thoughts = min(count((read.completion_tokens_details or CompletionDetails()).reasoning_tokens), completion)
    out = b'{"promptTokenCount":%d,"candidatesTokenCount":%d,"totalTokenCount":%d' % (
        prompt,
        completion - thoughts,
        prompt + completion,
    )
    for part, number in ((b"thoughtsTokenCount", thoughts), (b"cachedContentTokenCount", cached)):
        if number:
            out += b',"%b":%d' % (part, number)
    if served := _TRAFFIC.get(tier):
        out += b',"trafficType":"%b"' % served
    for name in ("cost", "usage_source"):
        if (value := bytes(getattr(read, name))) not in NOTHING:
            out += b',"%b":%b' % (name.encode(), value)
    return out + b"}"


def whole(body: bytes, context: Context) -> bytes:
    """`body` is an answer that was accepted as one."""
    reading = read_object(body)
    assert reading is not None, "open_answer read it"
    machine = ChatToGemini(context)
    stream = machine.feed(events_of(body, reading)) + machine.finish()
    parts: list[Raw] = []
    last: dict[str, Any] = {}
    for line in stream.split(b"\r\n\r\n"):
        if not line:
            continue
        last = decode_members(line[6:])
        if "candidates" in last:
            candidate = decode_members(_decode_parts(last["candidates"])[0])
            parts += _decode_parts(decode_members(candidate["content"])["parts"])
            candidate["content"] = Raw(b'{"parts":%b,"role":"model"}' % _encode(parts))
            last["candidates"] = Raw(_encode([candidate]))
    return _encode(last)
