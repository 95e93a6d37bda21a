"""What a provider offers: a wire format, where it is served, how a request is authenticated and how its answer is framed.

Rule: a format is named once, here (`FORMATS`), with the path that its inventor gave it. An endpoint that is there or not there
is all that a plan needs to know of a provider's dialect.
Source of the paths: OpenAI's, Anthropic's, Google's, AWS' and Cohere's references.
"""

from typing import Final, Literal, NamedTuple
from urllib.parse import quote

import msgspec


class BaseUrl(msgspec.Struct, frozen=True):
    """Where a provider listens. `path` has no trailing slash: the request target is `path` + the endpoint's path."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """The `host` header: with the port only when it is not the scheme's own, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    @property
    def text(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


class Format(NamedTuple):
    """A wire format as its inventor serves it: `path` (and `stream_path`, where a stream has its own) beneath the base URL, and
    headers that each request needs. `is_generated`: whether a model that writes text may be asked in it."""

    path: str
    stream_path: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    is_generated: bool = False
    framing: Literal["sse", "eventstream"] = "sse"
    auth_header: str = ""
    accept: str = "application/json"
    is_form: bool = False
    """Whether its requests are `multipart/form-data`."""


_GEMINI: Final = "/models/{model}:"
FORMATS: Final[dict[str, Format]] = {
    "chat": Format("/chat/completions", is_generated=True),
    "messages": Format("/messages", headers=(("anthropic-version", "2023-06-01"),), is_generated=True, auth_header="x-api-key"),
    "responses": Format("/responses", is_generated=True),
    "gemini": Format(
        _GEMINI + "generateContent",
        _GEMINI + "streamGenerateContent?alt=sse",
        is_generated=True,
        auth_header="x-goog-api-key",
    ),
    "converse": Format("/model/{model}/converse", "/model/{model}/converse-stream", is_generated=True, framing="eventstream"),
    "cohere": Format("/chat", is_generated=True),
    "count_tokens": Format(
        "/messages/count_tokens", headers=(("anthropic-version", "2023-06-01"),), is_generated=True, auth_header="x-api-key"
    ),
    "gemini_count_tokens": Format(_GEMINI + "countTokens", is_generated=True, auth_header="x-goog-api-key"),
    "completions": Format("/completions"),
    "embeddings": Format("/embeddings"),
    "gemini_embeddings": Format(_GEMINI + "embedContent", auth_header="x-goog-api-key"),
    "gemini_batch_embeddings": Format(_GEMINI + "batchEmbedContents", auth_header="x-goog-api-key"),
    "cohere_embeddings": Format("/embed"),
    "moderations": Format("/moderations"),
    "rerank": Format("/rerank"),
    "images": Format("/images/generations"),
    "image_edits": Format("/images/edits", is_form=True),
    "speech": Format("/audio/speech", accept="*/*"),
    "transcriptions": Format("/audio/transcriptions", accept="*/*", is_form=True),
    "translations": Format("/audio/translations", accept="*/*", is_form=True),
}


class Endpoint(msgspec.Struct, frozen=True):
    """One format at one provider. What each field means to the operator stands at the top of providers.toml.

    `path` and `stream_path` may have `{model}` in them, which is then in no body. `base_url` None and `auth_header` empty: as the
    provider's. `framing`: how its streams are cut into events.
    """

    format: str
    path: str
    stream_path: str = ""
    base_url: BaseUrl | None = None
    auth_header: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    framing: Literal["sse", "eventstream"] = "sse"
    fetches_urls: bool = True
    body: tuple[tuple[str, str], ...] = ()
    """Members that each body gets, such as `anthropic_version`."""
    betas: tuple[str, ...] = ()
    """Of Anthropic's betas, those that callers may ask for beyond the free ones."""

    @property
    def head(self) -> bytes:
        """Its own headers, as lines."""
        return "".join([f"{name}: {value}\r\n" for name, value in self.headers]).encode("ascii")

    @property
    def has_model_in_path(self) -> bool:
        return "{model}" in self.path

    def target(self, model: str, *, is_stream: bool) -> str:
        """The path of a request beneath the base URL, with the model's name percent-encoded."""
        path = self.stream_path if is_stream and self.stream_path else self.path
        return path.replace("{model}", quote(model, safe="-._~")) if "{model}" in path else path


def endpoint(format: str) -> Endpoint:
    """One as the format's inventor serves it."""
    known = FORMATS[format]
    return Endpoint(
        format, known.path, known.stream_path, headers=known.headers, framing=known.framing, auth_header=known.auth_header
    )


CHAT: Final = endpoint("chat")
CHAT_ONLY: Final = (CHAT,)
"""What a provider offers that does not say what it offers."""
ECHO_FORMATS: Final = (
    *(
        "chat",
        "count_tokens",
        "gemini_count_tokens",
        "completions",
        "embeddings",
        "moderations",
        "rerank",
        "images",
        "image_edits",
        "speech",
    ),
    *("transcriptions", "translations", "gemini", "gemini_embeddings", "gemini_batch_embeddings", "cohere_embeddings"),
)
ECHO_ENDPOINTS: Final = tuple(map(endpoint, ECHO_FORMATS))
"""What the built-in provider answers in."""
