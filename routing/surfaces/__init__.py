"""What callers may call: the table of surfaces, and what each of them offers.

A surface is a wire format with its paths, how its request is read, what a provider of the same format is sent and sends, and how
it says no. Rule: adding one is a file here and a line in `SURFACES`; nothing in edge/ learns of it. Whether a provider is
reached in the same format or through translators is `routing.surfaces.adapter`'s.
Strategy: a surface is a module with the functions of `Surface`, imported when it is first called.
Rule: everything here is pure: bytes and structs in, bytes and structs out.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Final, Literal, NamedTuple, Protocol, cast

import msgspec

from routing.metering.meter import Meter
from routing.plan.fit import AS_SENT, Fit
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope
from routing.rewrite.identity import Identity
from routing.table.endpoint import Endpoint
from routing.table.provider import Model, Provider
from usage.flavor import BASES, Flavor

Headers = list[tuple[bytes, bytes]]


class CallerRequest(msgspec.Struct, frozen=True, gc=False):
    """What a request says outside of its body. `path` as ASGI has it: decoded, without the query."""

    path: str
    headers: Headers
    query: bytes = b""

    def header(self, name: bytes) -> bytes:
        """The value of a header (the last one), empty when there is none."""
        return next((value for key, value in reversed(self.headers) if key == name), b"")


class Whole(NamedTuple):
    """A whole answer, for the caller. `content_type`: empty for JSON, else to be told as the provider told it."""

    body: bytes
    finish_reason: str = ""
    upstream_id: str = ""
    content_type: str = ""


class ErrorResponse(NamedTuple):
    """A refusal as this surface's clients read it."""

    status: int
    body: bytes
    headers: Headers


class Asked(NamedTuple):
    """What a request to one target is made of, beside what its surface read. `cap`: completion tokens to allow where the caller
    has no cap of its own. `has_stream_options` and `fit` are Chat's (`routing.request.body`)."""

    provider: Provider
    model: Model
    endpoint: Endpoint
    cap: int | None = None
    has_stream_options: bool = True
    fit: Fit = AS_SENT


class ProviderRequest(NamedTuple):
    """A request as it goes to a provider of the same format: the body in parts, lines for its head, and what was left out.
    `completed`: what a whole answer gets of the request, for the caller that `Identity` names."""

    body: list[bytes | memoryview]
    head: bytes = b""
    ignored: tuple[str, ...] = ()
    completed: Callable[[bytes, Identity], bytes] | None = None


class Machine(Protocol):
    """One stream on its way; `routing.rewrite.chat.stream.StreamRewrite` says what the members mean.

    `swap`: the short way for what is one plain event, b"" for anything else. `cut`: the reserve is used up, the answer ends
    regularly, with its usage. `fail`: the one event that says that it broke, and what must stand before it.
    """

    is_framing: bool
    is_notable: bool

    @property
    def meter(self) -> Meter: ...
    @property
    def created(self) -> int: ...
    @property
    def upstream_id(self) -> str: ...
    @property
    def finish_reason(self) -> str: ...
    @property
    def error(self) -> bytes: ...
    @property
    def has_begun(self) -> bool: ...
    @property
    def is_done(self) -> bool: ...
    @property
    def is_finished(self) -> bool: ...
    @property
    def is_over(self) -> bool: ...
    @property
    def is_complete(self) -> bool: ...
    @property
    def is_at_boundary(self) -> bool: ...
    def swap(self, data: bytes) -> bytes: ...
    def scan(self, data: bytes) -> bytes: ...
    def feed(self, data: bytes) -> bytes: ...
    def finish(self) -> bytes: ...
    def cut(self) -> bytes: ...
    def fail(self, refusal: Refusal) -> bytes: ...


class Surface(Protocol):
    """The functions of a surface's module. `ANSWERS`: what a whole answer is; `TYPE` of a stream is `text/event-stream`."""

    ANSWERS: Literal["json", "bytes"]

    def read(self, body: bytes, call: CallerRequest) -> Envelope:
        """What decides. Invalid."""

    def request(self, envelope: Envelope, asked: Asked) -> ProviderRequest:
        """For a provider of the same format. Calling it again gives the same."""

    def machine(self, identity: Identity, meter: Meter, envelope: Envelope, created: int, line_bytes_max: int) -> Machine:
        """For a stream of the same format."""

    def whole(self, body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
        """A whole answer of the same format, with our names and its cost; counted into `meter`. AttemptFailed."""

    def error_response(self, refusal: Refusal, flavor: Flavor, request_id: str) -> ErrorResponse:
        """A refusal in this surface's words."""


GOOGLE_BASES: Final = (*BASES, *(f"{base}beta" for base in BASES))
COHERE_BASES: Final = ("/v2", "/api/v2")
ALL_BASES: Final = (*GOOGLE_BASES, *COHERE_BASES)


class Entry(NamedTuple):
    """`format`: what its callers speak. `paths`: beneath its `bases`; `{model}` stands for a model's id, slashes included."""

    format: str
    module: str
    paths: tuple[str, ...]
    id_header: bytes = b""
    """Under which name its SDKs read the request's id, beside ours."""
    bases: tuple[str, ...] = BASES
    """Where its SDKs look for it."""
    operation: str = ""
    """OpenTelemetry's `gen_ai.operation.name`, where its conventions have a word that is not the format's."""
    counts: tuple[str, str] | None = None
    """(format, member): it only counts the prompts of that format; estimated under that name where no provider does."""


def _gemini(*actions: str) -> tuple[str, ...]:
    return tuple(f"/models/{{model:path}}:{action}" for action in actions)


_VECTORS: Final = "routing.surfaces.gemini.embeddings"
_EMBEDS: Final = "embeddings"
SURFACES: Final = (
    Entry("chat", "routing.surfaces.openai.chat", ("/chat/completions",)),
    Entry("messages", "routing.surfaces.anthropic.messages", ("/messages",), b"request-id", operation="chat"),
    Entry(
        "count_tokens",
        "routing.surfaces.anthropic.count_tokens",
        ("/messages/count_tokens",),
        b"request-id",
        counts=("messages", "input_tokens"),
    ),
    Entry("responses", "routing.surfaces.openai.responses", ("/responses",), operation="chat"),
    Entry("embeddings", "routing.surfaces.openai.embeddings", ("/embeddings",)),
    Entry("completions", "routing.surfaces.openai.completions", ("/completions",), operation="text_completion"),
    Entry("moderations", "routing.surfaces.openai.moderations", ("/moderations",)),
    Entry("rerank", "routing.surfaces.cohere.rerank", ("/rerank",), bases=(*BASES, *COHERE_BASES)),
    Entry("images", "routing.surfaces.openai.images", ("/images/generations", "/images")),
    Entry("image_edits", "routing.surfaces.openai.image_edits", ("/images/edits",)),
    Entry("speech", "routing.surfaces.openai.speech", ("/audio/speech",)),
    Entry("transcriptions", "routing.surfaces.openai.transcriptions", ("/audio/transcriptions",)),
    Entry("translations", "routing.surfaces.openai.transcriptions", ("/audio/translations",)),
    Entry(
        "gemini",
        "routing.surfaces.gemini.generate_content",
        _gemini("generateContent", "streamGenerateContent"),
        bases=GOOGLE_BASES,
        operation="generate_content",
    ),
    Entry(
        "gemini_count_tokens",
        "routing.surfaces.gemini.count_tokens",
        _gemini("countTokens"),
        bases=GOOGLE_BASES,
        counts=("gemini", "totalTokens"),
    ),
    Entry("gemini_embeddings", _VECTORS, _gemini("embedContent"), b"", GOOGLE_BASES, _EMBEDS),
    Entry("gemini_batch_embeddings", _VECTORS, _gemini("batchEmbedContents"), b"", GOOGLE_BASES, _EMBEDS),
    Entry("cohere", "routing.surfaces.cohere.chat", ("/chat",), b"", COHERE_BASES, "chat"),
    Entry("cohere_embeddings", "routing.surfaces.cohere.embeddings", ("/embed",), b"", COHERE_BASES, _EMBEDS),
)
CHAT: Final = SURFACES[0]
_OPERATIONS: Final = {entry.format: entry.operation or entry.format for entry in SURFACES}


def operation_of(format: str) -> str:
    """What telemetry calls a request of a surface; one that is not known here by its own name."""
    return _OPERATIONS.get(format, format)


def surface_of(entry: Entry) -> Surface:
    """The surface's functions."""
    return cast(Surface, import_module(entry.module))


def place_of(entry: Entry) -> str:
    """Where callers find it, as documents name it."""
    return entry.bases[0] + entry.paths[0].replace(":path}", "}")
