"""What a pair of formats offers: a request, a stream and a whole answer of one format, said in the other.

Rule: Chat is the hub. A pair is written once for each format and side: `X on chat` for a caller that speaks X (DownstreamPair),
`chat on Y` for a provider that speaks Y (UpstreamPair). X on Y is one after the other (`routing.translate.chain`).
Rule: a translator knows nothing of money, ids or names. Between the two halves of a chain stands Chat's own stream rewrite with
its meter, so what is counted, charged and said of it has one owner whatever was translated.
Rule: a demand that the other format cannot express is Invalid and names its path; an offer that it cannot is left out and its
path reported (`Translated.ignored`), or Invalid if the caller set `require_parameters` (`Target.requires_parameters`).
Strategy: a pair is a module with the functions of the protocol, imported when it is first used. Machines are pure: bytes in,
bytes out, however they were cut; whatever comes in, they do not raise (but `TooLong`, beyond the bound of one line).
To add one: docs/translation.md, "Adding a provider's format".
"""

from collections.abc import Container, Mapping
from importlib import import_module
from typing import Any, Final, Literal, NamedTuple, Protocol, cast

import msgspec

from routing.plan.refusal import Refusal

Format = str
"""A name of `routing.table.endpoint.FORMATS`, which alone says what formats there are."""

Framing = Literal["sse", "eventstream"]

HUB: Final = frozenset(("cache_control", "reasoning_details", "is_error", "tool_images", "file_urls"))
"""The traits of Chat where another pair follows: what a caller's format has and plain Chat has not is kept for that pair.

Of a provider that speaks Chat itself, the table says which of these it knows, and further:
reasoning_content: thoughts that led to calls of tools are sent back to it (DeepSeek, Moonshot). short_ids: tool calls have ids
of nine letters and digits (Mistral).
"""


class Target(msgspec.Struct, frozen=True):
    """Where a request goes, as far as a pair has to know it.

    `provider` is named in messages to the caller. `model` is the provider's own name for the model. `max_output_tokens` is sent
    where the format requires a cap and the request has none. `traits`: what is particular to the model, as the words that the
    pair's module documents; None when the table says nothing, then they are told from the model's name.
    """

    provider: str
    model: str
    max_output_tokens: int | None = None
    fetches_urls: bool = True
    traits: frozenset[str] | None = None
    requires_parameters: bool = False


class Translated(NamedTuple):
    """A request in the other format. `ignored`: paths of what was left out. `memo`: what the answer's translation needs of the
    request (names that were changed, say); opaque, for `Context.memo`."""

    body: bytes
    ignored: tuple[str, ...] = ()
    memo: Any = None


UNBOUNDED: Final = 2**62


class Context(msgspec.Struct, frozen=True):
    """Whose answer it is; `memo` is that of the pair whose machine it makes. `prompt_tokens` is an estimate, for formats that
    tell it before the provider has."""

    gen_id: str
    model: str
    created_s: int
    prompt_tokens: int = 0
    memo: Any = None
    line_bytes_max: int = UNBOUNDED
    """Of a stream, an event. What is here as a whole was bounded as one."""


class UpstreamMachine(Protocol):
    """A provider's stream → Chat's, as a provider would send it: its own ids, one usage chunk, `[DONE]` at a regular end only.

    An error is an event `{"error": …}`, as the provider wrote it. `is_framing`: whether the last `feed` held nothing but signs of
    life (a ping, the head of a message).
    """

    is_framing: bool

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes:
        """The provider's body ended cleanly."""


class DownstreamMachine(Protocol):
    """Our Chat stream (with a usage chunk, and `cost` in it) → the caller's. What it returns are whole events.

    A chunk with `finish_reason`, a chunk with usage and the end (`[DONE]` or `finish`) make a regular end, in this order.
    """

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes:
        """Our stream ended: the regular end if there was a finish, else nothing."""

    def fail(self, refusal: Refusal, usage: bytes = b"") -> bytes:
        """The one event that says that the answer broke, as this format says it."""


class UpstreamPair(Protocol):
    """Chat on a provider's format. `framing`: how its stream is cut into events."""

    framing: Framing

    def request(self, body: bytes, target: Target) -> Translated:
        """A Chat request → the provider's. Invalid."""

    def machine(self, context: Context) -> UpstreamMachine: ...

    def whole(self, body: bytes, context: Context) -> bytes:
        """A whole answer → Chat's; an object with `error` for an error; what is no answer at all as it came."""


class DownstreamPair(Protocol):
    """A caller's format on Chat. `PATHS`: where the caller said what stands at a path of the Chat request that it became."""

    PATHS: Mapping[str, str]

    def request(self, body: bytes, target: Target) -> Translated:
        """The caller's request → Chat's. Invalid."""

    def machine(self, context: Context) -> DownstreamMachine: ...

    def whole(self, body: bytes, context: Context) -> bytes:
        """Our whole Chat answer → the caller's."""


UPSTREAM: Final[dict[Format, str]] = {
    "messages": "routing.translate.chat_on_messages",
    "gemini": "routing.translate.chat_on_gemini",
    "converse": "routing.translate.chat_on_converse",
    "responses": "routing.translate.chat_on_responses",
    "cohere": "routing.translate.chat_on_cohere",
}
"""Provider's format → the module of the pair that serves Chat on it."""
DOWNSTREAM: Final[dict[Format, str]] = {
    "messages": "routing.translate.messages_on_chat",
    "responses": "routing.translate.responses_on_chat",
    "gemini": "routing.translate.gemini_on_chat",
    "cohere": "routing.translate.cohere_on_chat",
}
"""Caller's format → the module of the pair that serves it on Chat."""


def callers_path(path: str, paths: Mapping[str, str], said: Container[str]) -> str:
    """A path of a Chat request as its caller knows it: exactly, or as far as it is certain. `said`: the members of the request
    that it was made of, some of which have Chat's own name."""
    name = path.partition(".")[0].partition("[")[0]
    if name in said and paths.get(name, name) != name:
        return path
    return paths.get(path) or paths.get(name) or path


def upstream_pair(format: Format) -> UpstreamPair | None:
    """Chat on that format; None where there is none, or it is Chat itself."""
    return cast(UpstreamPair, import_module(name)) if (name := UPSTREAM.get(format)) else None


def downstream_pair(format: Format) -> DownstreamPair | None:
    """That format on Chat; None where there is none, or it is Chat itself."""
    return cast(DownstreamPair, import_module(name)) if (name := DOWNSTREAM.get(format)) else None
