"""Gemini's stream → Chat's chunks. Each event is a whole GenerateContentResponse; a whole answer is a stream of one event.

Rule: a call of a tool is whole when it comes. Each has an id of its own, and the index counts up. "STOP" with calls, whenever
they came, is Chat's "tool_calls".
Rule: nothing but the end of the body ends the stream; without a `finishReason` it was cut.
Limits: safety ratings and the segments that quote a page (`groundingSupports`, by bytes) are left out (docs/translation.md).
"""

from typing import Final

import msgspec
from msgspec import Raw

from routing.dialects.gemini import GeminiUsage, finish_of
from routing.dialects.gemini_frame import GeminiFrame
from routing.dialects.gemini_frame import learned as gemini_frame
from routing.rewrite.chat.reshape import answer_of
from routing.translate import Context
from routing.translate.chat_view import literal_of
from routing.translate.chunks import DONE, REFUSAL, ChunkWriter
from routing.translate.event_translator import EventTranslator
from routing.translate.events import ABSENT, NOTHING, arguments_text, dumped, loaded, string_of, view
from routing.translate.frames import Frame, sent_around
from routing.translate.thoughts import GEMINI
from routing.wire.sse import payload_of

_FORMAT: Final = GEMINI.encode()
_encode: Final = msgspec.json.Encoder().encode


class FunctionCall(msgspec.Struct, gc=False):
    id: Raw = ABSENT
    name: Raw = ABSENT
    args: Raw = ABSENT


class Blob(msgspec.Struct, gc=False, rename="camel"):
    mime_type: Raw = ABSENT
    data: Raw = ABSENT


class Part(msgspec.Struct, gc=False, rename="camel"):
    text: Raw = ABSENT
    thought: bool | None = None
    thought_signature: Raw = ABSENT
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None


class Content(msgspec.Struct, gc=False):
    parts: list[Part] | None = None


class Web(msgspec.Struct, gc=False):
    uri: Raw = ABSENT
    title: Raw = ABSENT


class GroundingChunk(msgspec.Struct, gc=False):
    web: Web | None = None


class Grounding(msgspec.Struct, gc=False, rename="camel"):
    grounding_chunks: list[GroundingChunk] | None = None


class Candidate(msgspec.Struct, gc=False, rename="camel"):
    index: int = 0
    content: Content | None = None
    finish_reason: str | None = None
    finish_message: Raw = ABSENT
    grounding_metadata: Grounding | None = None


class Feedback(msgspec.Struct, gc=False, rename="camel"):
    block_reason: str | None = None
    block_reason_message: Raw = ABSENT


class Response(msgspec.Struct, gc=False, rename="camel"):
    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: GeminiUsage | None = None
    model_version: Raw = ABSENT
    response_id: Raw = ABSENT
    error: Raw = ABSENT


_decode: Final = msgspec.json.Decoder(Response).decode


class Said:
    """What one candidate has said so far, by its numbers."""

    __slots__ = ("calls", "finish", "images", "pages", "thoughts", "why")

    def __init__(self) -> None:
        self.calls = self.thoughts = self.images = self.pages = 0
        self.finish = ""
        self.why = b""
        """In Google's words, that there is no answer: a JSON string."""


class GeminiToChat(EventTranslator):
    """One stream."""

    __slots__ = ("_gemini_frame", "_gen_id", "_has_usage", "_is_named", "_is_news", "_said", "_unread", "_usage", "_writer")

    def __init__(self, context: Context) -> None:
        super().__init__(context.line_bytes_max)
        self._gen_id = context.gen_id
        self._writer = ChunkWriter(context.created_s)
        self._is_named = False
        self._said: dict[int, Said] = {}
        self._usage = GeminiUsage()
        self._has_usage = False
        self._is_news = False
        """Whether the last event told counts that were not passed on."""
        self._gemini_frame: GeminiFrame | None = None
        self._unread = b""
        """The last event that took the short way: of its usage a later one is the last word."""

    def text_in(self, data: bytes) -> bytes | None:
        frame = self._gemini_frame
        if self.frame is None or frame is None or (text := frame.text_in(data)) is None:
            return None
        self._unread = data
        return text

    def _learned(self, data: bytes, sent: bytes) -> Frame | None:
        frame = self._gemini_frame = gemini_frame(data)
        around = sent_around(self._text, sent)
        return None if frame is None or around is None or len(self._text) < 4 else Frame(b"", b"", 0, around)

    def _read(self, data: bytes) -> bytes:
        self._read_last()
        return super()._read(data)

    def _read_last(self) -> None:
        """The usage of the last event that took the short way."""
        if self._unread:
            event, self._unread = self._unread, b""
            response = view(payload_of(event) or b"", Response, _decode)
            if response is not None and response.usage_metadata is not None:
                self._count(response.usage_metadata)

    def finish(self) -> bytes:
        self._read_last()
        sent = super().finish()
        if self._is_over:
            return sent
        if not self._said or not all(said.finish for said in self._said.values()):
            return sent + self._tell()
        self._is_over = True
        return sent + self._conclude()

    def _tell(self) -> bytes:
        """The usage, which counts whether or not the answer comes to its end."""
        is_news, self._is_news = self._is_news, False
        return self._writer.usage(self._usage.chat.json) if is_news else b""

    def _take(self, payload: bytes) -> bytes:
        if self._is_over:
            return b""
        response = view(payload, Response, _decode)
        if response is None:
            return self._list(payload)
        if bytes(response.error) not in NOTHING:
            return self._fail(bytes(response.error))
        self.is_framing = False
        if not self._is_named:
            self._is_named = True
            self._writer.name(string_of(response.response_id), string_of(response.model_version))
        self._is_news = self._is_news and not response.candidates
        out = [self._count(response.usage_metadata)] if response.usage_metadata is not None else []
        for candidate in response.candidates or ():
            self._candidate(candidate, out)
        if sum(map(bool, out)) != 1 or any(candidate.finish_reason for candidate in response.candidates or ()):
            self._text = b""
        feedback = response.prompt_feedback
        if feedback is not None and feedback.block_reason and not response.candidates and not self._said:
            is_known = finish_of(feedback.block_reason) == "content_filter"
            said = self._said.setdefault(0, Said())
            said.finish = feedback.block_reason if is_known else "PROHIBITED_CONTENT"
            said.why = literal_of(feedback.block_reason_message)
        return b"".join(out)

    def _list(self, payload: bytes) -> bytes:
        """Errors come as a list of one, too."""
        document = loaded(payload)
        if isinstance(document, list) and document and isinstance(document[0], dict) and document[0].get("error"):
            return self._fail(dumped(document[0]["error"]))
        return b""

    def _fail(self, error: bytes) -> bytes:
        self._is_over = True
        self.is_framing = False
        return self._tell() + self._writer.error(error)

    def _count(self, usage: GeminiUsage) -> bytes:
        """The last word of each member counts; the first tells at once what the prompt came to."""
        self._usage.merge(usage)
        if usage.is_empty:
            return b""
        is_first, self._has_usage, self._is_news = not self._has_usage, True, True
        return self._tell() if is_first else b""

    def _candidate(self, candidate: Candidate, out: list[bytes]) -> None:
        said = self._said.setdefault(candidate.index, Said())
        for part in (candidate.content.parts if candidate.content is not None else None) or ():
            self._part(candidate.index, said, part, out)
        found = candidate.grounding_metadata
        for chunk in (found.grounding_chunks if found is not None else None) or ():
            if chunk.web is not None and bytes(chunk.web.uri) not in NOTHING:
                out.append(self._writer.citation(said.pages, bytes(chunk.web.uri), string_of(chunk.web.title), candidate.index))
                said.pages += 1
        said.finish = candidate.finish_reason or said.finish
        said.why = literal_of(candidate.finish_message) or said.why

    def _part(self, index: int, said: Said, part: Part, out: list[bytes]) -> None:
        writer, text = self._writer, bytes(part.text)
        self._text = text if text not in NOTHING and writer.has_said(index) else b""
        if text not in NOTHING and part.thought:
            out.append(writer.reasoning(text, _FORMAT, said.thoughts, index))
        elif text not in NOTHING:
            out.append(writer.content(text, index))
        call_id = b'""'
        if part.function_call is not None:
            given = string_of(part.function_call.id)
            call_id = given if given != b'""' else b'"call_%b_%d_%d"' % (self._gen_id.encode(), index, said.calls)
        if bytes(part.thought_signature) not in NOTHING:
            said.thoughts += 1
            of_call = b'"id":%b,' % call_id if call_id != b'""' else b""
            detail = b'"reasoning_details":[{"type":"reasoning.encrypted",%b"data":%b,"format":"%b","index":%d}]'
            out.append(writer.delta(detail % (of_call, string_of(part.thought_signature), _FORMAT, said.thoughts), index))
            said.thoughts += 1
        if part.function_call is not None:
            arguments = arguments_text(part.function_call.args)
            out.append(writer.call(said.calls, call_id, string_of(part.function_call.name), arguments, index))
            said.calls += 1
        if part.inline_data is not None:
            out.append(self._image(index, said, part.inline_data))

    def _image(self, index: int, said: Said, blob: Blob) -> bytes:
        url = b'"data:%b;base64,%b"' % (string_of(blob.mime_type)[1:-1], string_of(blob.data)[1:-1])
        image = b'"images":[{"index":%d,"type":"image_url","image_url":{"url":%b}}]' % (said.images, url)
        said.images += 1
        return self._writer.delta(image, index)

    def _conclude(self) -> bytes:
        out = []
        for index, said in sorted(self._said.items()):
            finish = finish_of(said.finish)
            if finish == "stop" and said.calls:
                finish = "tool_calls"
            why = REFUSAL + said.why if said.why and finish == "content_filter" else b""
            out.append(self._writer.finish(finish, said.finish, index, why))
        tier = b',"service_tier":%b' % _encode(self._usage.tier) if self._usage.tier else b""
        if self._has_usage:
            out.append(self._writer.usage(self._usage.chat.json, tier))
        return b"".join([*out, DONE])


def whole(body: bytes, context: Context) -> bytes:
    """An object with `error` for one; the body as it came for what is no answer."""
    document = loaded(body)
    if isinstance(document, list):
        body = dumped(document[0]) if document else body
    machine = GeminiToChat(context)
    # A line break between JSON's tokens would end the line.
    chunks = machine.feed(b"data: %b\n\n" % body.replace(b"\n", b" ").replace(b"\r", b" ")) + machine.finish()
    return answer_of(chunks).replace(b'"refusal":', REFUSAL, 1) if chunks else body
