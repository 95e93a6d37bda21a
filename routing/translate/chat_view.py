"""Chat's chunks as a downstream translator reads them, in all the accents that pass through Chat's stream rewrite."""

from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw

from routing.translate.events import ABSENT, NOTHING, view
from routing.wire.sse import TooLong


class Function(msgspec.Struct, gc=False):
    name: Raw = ABSENT
    arguments: Raw = ABSENT


class Call(msgspec.Struct, gc=False):
    index: int | None = None
    id: Raw = ABSENT
    function: Function = msgspec.field(default_factory=Function)


class Detail(msgspec.Struct, gc=False):
    type: str = ""
    text: Raw = ABSENT
    signature: Raw = ABSENT
    data: Raw = ABSENT
    summary: Raw = ABSENT
    format: str | None = None
    id: str | None = None


def text_of(details: "tuple[Detail, ...] | list[Detail]") -> bytes:
    """The thought of a provider that tells it in its details only."""
    return next((text for detail in details if (text := literal_of(detail.text) or literal_of(detail.summary))), b"")


class Delta(msgspec.Struct, gc=False):
    content: Raw = ABSENT
    reasoning: Raw = ABSENT
    reasoning_content: Raw = ABSENT
    reasoning_details: list[Detail] | None = None
    refusal: Raw = ABSENT
    tool_calls: list[Call] | None = None
    annotations: Raw = ABSENT
    images: Raw = ABSENT

    @property
    def thought(self) -> bytes:
        """A JSON string; empty when there is none."""
        return literal_of(self.reasoning) or literal_of(self.reasoning_content)


class Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None


class Chunk(msgspec.Struct, gc=False):
    choices: list[Choice] | None = None
    usage: Raw = ABSENT
    error: Raw = ABSENT
    service_tier: Raw = ABSENT
    citations: Raw = ABSENT


class Part(msgspec.Struct, gc=False):
    """Of a content that is a list, as Mistral's is when it thinks."""

    type: str = ""
    text: Raw = ABSENT
    thinking: list["Part"] | None = None


class _Parts(msgspec.Struct, gc=False):
    parts: list[Part] | None = None


class _Address(msgspec.Struct, gc=False):
    url: Raw = ABSENT


class _Image(msgspec.Struct, gc=False):
    image_url: _Address | None = None


class _Images(msgspec.Struct, gc=False):
    images: list[_Image] | None = None


class PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: Any = None
    cache_write_tokens: Any = None
    cache_creation_input_tokens: Any = None
    cache_write_tokens_details: dict[str, Any] | None = None


class CompletionDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Any = None


class UsageView(msgspec.Struct, gc=False):
    """Our usage object."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    server_tool_use: dict[str, Any] | None = None
    cost: Raw = ABSENT
    usage_source: Raw = ABSENT


_decode_chunk: Final = msgspec.json.Decoder(Chunk).decode
_decode_parts: Final = msgspec.json.Decoder(_Parts).decode
_decode_images: Final = msgspec.json.Decoder(_Images).decode
_decode_str: Final = msgspec.json.Decoder(str).decode
_decode_usage: Final = msgspec.json.Decoder(UsageView).decode


def literal_of(raw: Raw) -> bytes:
    """A string that is not empty, as it stands in the JSON; nothing for anything else."""
    text = bytes(raw)
    return text if text[:1] == b'"' and text != b'""' else b""


def decoded(literal: bytes) -> str:
    """The text of a string as it stands in the JSON, with its escapes where they are wrong."""
    try:
        text: str = _decode_str(literal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return literal[1:-1].decode("utf-8", "replace")
    return text


def read_chunk(payload: bytes) -> Chunk | None:
    return view(payload, Chunk, _decode_chunk)


def read_usage(usage: bytes) -> UsageView | None:
    return view(usage, UsageView, _decode_usage)


def texts_of(content: Raw) -> list[tuple[str, bytes]]:
    """("thinking" or "text", a JSON string) for each piece of a content."""
    text = bytes(content)
    if text[:1] == b'"':
        return [("text", text)] if text != b'""' else []
    if text in NOTHING or text[:1] != b"[":
        return []
    read = view(b'{"parts":%b}' % text, _Parts, _decode_parts)
    found = []
    for part in (read.parts if read is not None else None) or ():
        if part.type == "thinking":
            found += [("thinking", literal_of(inner.text)) for inner in part.thinking or ()]
        else:
            found.append(("text", literal_of(part.text)))
    return [(kind, literal) for kind, literal in found if literal]


class Picture(NamedTuple):
    """A picture that a model made: its Base64, or its address (`data` is empty). The insides of JSON strings."""

    media_type: bytes
    data: bytes
    url: bytes = b""

    @property
    def note(self) -> bytes:
        """A JSON string that says of it what can be said where an answer has no place for it."""
        if self.url:
            return b'"[a picture: %b]"' % self.url
        size = len(self.data) * 3 // 4
        return b'"[a picture (%b, %d bytes), for which answers of this API have no place]"' % (self.media_type, size)


def pictures_of(images: Raw) -> list[Picture]:
    text = bytes(images)
    read = view(b'{"images":%b}' % text, _Images, _decode_images) if text not in NOTHING else None
    found = []
    for each in (read.images if read is not None else None) or ():
        url = literal_of(each.image_url.url)[1:-1] if each.image_url is not None else b""
        kind, is_here, data = url.removeprefix(b"data:").partition(b";base64,")
        if url:
            found.append(Picture(kind, data) if is_here and url.startswith(b"data:") else Picture(b"", b"", url))
    return found


class _Page(msgspec.Struct, gc=False):
    url: Raw = ABSENT
    title: Raw = ABSENT
    start_index: int = 0
    end_index: int = 0


class _Annotation(msgspec.Struct, gc=False):
    url_citation: _Page | None = None


class _Annotations(msgspec.Struct, gc=False):
    all: list[_Annotation] | None = None


_decode_annotations: Final = msgspec.json.Decoder(_Annotations).decode


class Page(NamedTuple):
    """A page that a text quotes, and where; `url` and `title` are JSON strings."""

    url: bytes
    title: bytes
    start: int
    end: int


def pages_of(annotations: Raw) -> list[Page]:
    text = bytes(annotations)
    read = view(b'{"all":%b}' % text, _Annotations, _decode_annotations) if text not in NOTHING else None
    found = [each.url_citation for each in (read.all if read is not None else None) or () if each.url_citation is not None]
    return [
        Page(literal_of(page.url), literal_of(page.title) or b'""', page.start_index, page.end_index)
        for page in found
        if literal_of(page.url)
    ]


PIECES_MAX: Final = 4_096
"""Calls of an answer, or pages that a text quotes: each is told in up to ten events, so 100,000 of them took 400 MiB."""


def bound_pieces(count: int, what: str) -> None:
    """TooLong: an answer that has so many of them already has one more."""
    if count >= PIECES_MAX:
        raise TooLong(f"more than {PIECES_MAX} {what}")


class Calls:
    """Which of an answer's tool calls a fragment belongs to. An index may be missing, or the same for calls with other ids.
    Limits: PIECES_MAX."""

    __slots__ = ("_ids", "_last", "_place_of", "_places")

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        """Provider's index → place."""
        self._ids: list[bytes] = []
        self._place_of: dict[bytes, int] = {}
        """Id → the first place that has it."""
        self._last = -1

    def __len__(self) -> int:
        return len(self._ids)

    def place(self, call: Call) -> int:
        """From 0 on, in the order in which they began."""
        call_id = literal_of(call.id)
        is_named = bool(literal_of(call.function.name))
        if call.index is None:
            place = self._place_of.get(call_id, len(self._ids)) if call_id else max(self._last, 0)
        else:
            place = self._places.get(call.index, len(self._ids))
            if place < len(self._ids) and call_id and is_named and self._ids[place] not in (b"", call_id):
                place = self._place_of.get(call_id, len(self._ids))
        if place >= len(self._ids):
            place = len(self._ids)
            bound_pieces(place, "tool calls")
            self._ids.append(call_id)
            self._place_of.setdefault(call_id, place)
        elif call_id and not self._ids[place]:
            self._ids[place] = call_id
            self._place_of[call_id] = min(place, self._place_of.get(call_id, place))
        if call.index is not None:
            self._places[call.index] = place
        self._last = place
        return place


class PendingCall:
    """A call that is told piece by piece, for formats that have one open at a time. `id` and `name` are JSON texts, empty until
    they are known; `waiting`: fragments of its arguments that could not go out yet."""

    __slots__ = ("id", "is_closed", "name", "waiting")

    def __init__(self) -> None:
        self.id = self.name = b""
        self.waiting: list[bytes] = []
        self.is_closed = False

    def add(self, call: Call) -> None:
        """What a fragment says; of an id and a name the first."""
        self.id = self.id or literal_of(call.id)
        self.name = self.name or literal_of(call.function.name)
        if arguments := literal_of(call.function.arguments):
            self.waiting.append(arguments)
