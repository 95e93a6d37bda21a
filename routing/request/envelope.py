"""The view of a chat-completion request that decides.

Strategy: the body is split into its top-level members with raw values; only the few that decide are decoded. What goes to a
provider is rebuilt from those members (`routing.request.body`), so what was read is what is sent: a repeated `"model"` cannot
price one model and call another.
Rule: the number of members, of values, of parts and of levels is bounded before work is done that grows with it.
Limits: parameters are checked as far as DESIGN documents them; everything else passes as it came.
"""

import re
from collections.abc import Collection, Set
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from routing.plan.preferences import Preferences, read_preferences
from routing.request.bounds import SMALL_BYTES, bound
from routing.request.invalid import Invalid as Invalid
from routing.request.names import check_name, words
from routing.request.options import Options, read_options
from routing.request.parameters import OPENAI
from routing.request.prompt import EMPTY, Prompt, read_prompt
from routing.wire.members import Members, decode_members
from usage.record import Tokens


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What decides. `max_tokens` is the caller's own cap per choice, None when there is none; `bytes_total` bounds the prompt's
    tokens (a token is at least one byte), except for the `remote_images` and the `remote_others` (documents, videos), whose
    content is elsewhere. `prompt_bytes` are what a model reads, `inline_media` the bytes among them of each image or sound.
    `options`: what is asked for beside a plain answer, `preferences`: what is said about its way; None when nothing is.
    `tier`: the service tier asked for, "" is the plain one; `cache_life`: the longest one asked for, "" for the usual.
    `pieces`: the most of what is priced by the piece (seconds, characters, images, searches). `form`: a body that is no JSON, as
    its surface reads it, of the type `content_type`. `choices` is 0 where no text is written."""

    model: str
    members: Members
    bytes_total: int
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    choices: int = 1
    prompt_bytes: int = 0
    remote_images: int = 0
    remote_others: int = 0
    inline_media: tuple[int, ...] = ()
    options: Options | None = None
    preferences: Preferences | None = None
    tier: str = ""
    cache_life: str = ""
    pieces: Tokens | None = None
    pieces_likely: Tokens | None = None
    """What is charged where the provider does not say; None: as `pieces`."""
    is_free: bool = False
    """Nothing is billed for it, whatever the model's price."""
    echoed_bytes: int = 0
    """Of the prompt, which the answer is to begin with: no text that a model writes."""
    form: Any = None
    content_type: str = ""
    search_tools: tuple[int, ...] = ()
    """Places among the tools of those that search the web, where the model may do without: an offer."""
    heads: tuple[tuple[bytes, bytes], ...] = ()
    """The caller's headers that a provider of the same format is to get."""

    @property
    def requires_parameters(self) -> bool:
        """Whether what would be left out must be refused instead."""
        return self.preferences is not None and self.preferences.requires_parameters


def answered_by(envelope: Envelope, model_id: str) -> Envelope:
    """Where the caller names the models to fall back to, the answer is called by the one that gives it."""
    if envelope.preferences is None or not envelope.preferences.models or envelope.model == model_id:
        return envelope
    return msgspec.structs.replace(envelope, model=model_id)


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _UsageOptions(msgspec.Struct):
    """OpenRouter's."""

    include: bool | None = None


def _decoder(kind: Any) -> Any:
    return msgspec.json.Decoder(kind).decode


PositiveInt = Annotated[int, Meta(ge=1, le=2**53)]
_CHECKS: Final = {
    name: (_decoder(kind), expected)
    for name, kind, expected in (
        ("stream", bool | None, "true or false"),
        ("temperature", Annotated[float, Meta(ge=0, le=2)] | None, "a number from 0 to 2"),
        ("top_p", Annotated[float, Meta(ge=0, le=1)] | None, "a number from 0 to 1"),
        ("max_tokens", PositiveInt | None, "a whole number of at least 1"),
        ("max_completion_tokens", PositiveInt | None, "a whole number of at least 1"),
        ("stop", str | Annotated[list[str], Meta(max_length=4)] | None, "one string or a list of up to four strings"),
        ("n", Annotated[int, Meta(ge=1, le=128)] | None, "a whole number from 1 to 128"),
        ("usage", _UsageOptions | None, "an object such as {'include': true}"),
        ("stream_options", _StreamOptions | None, "an object such as {'include_usage': true}"),
    )
}
_PROMPT: Final = frozenset(("messages", "tools", "functions", "response_format"))
"""What a model reads."""
_ORDINARY: Final = OPENAI - words("service_tier store tools web_search_options prediction modalities audio prompt_cache_options")
"""What needs no second look."""
_NOTHING_SPECIAL: Final[Set[str]] = frozenset()
_TO_ROUTER: Final = frozenset(("models", "provider", "route"))
_decode_str = _decoder(str)
FILLED_LIST: Final = re.compile(rb"\[[ \t\r\n]*[^\] \t\r\n]")
MEMBERS_MAX: Final = 128
"""Of the body. OpenAI's and OpenRouter's together are sixty."""


def read(body: bytes) -> Envelope:
    """The envelope of a request body; Invalid names what is wrong and what would be right."""
    members = members_of(body)
    messages = members.get("messages")
    if messages is None:
        raise Invalid("'messages' is missing: send a list of at least one message", "messages", "missing_required_parameter")
    if FILLED_LIST.match(messages) is None:
        raise Invalid("'messages' must be a list of at least one message", "messages")
    values: dict[str, Any] = {}
    prompt_bytes = 0
    for name, raw in members.items():
        check = _CHECKS.get(name)
        if check is not None:
            try:
                values[name] = check[0](raw)
            except (msgspec.DecodeError, RecursionError):
                raise Invalid(f"'{name}' must be {check[1]}", name) from None
        elif name in _PROMPT:
            prompt_bytes += len(raw)
    read_value = values.get
    options = read_value("stream_options")
    if options is not None:
        for name in decode_members(members["stream_options"]):
            if name != "include_usage":
                check_name(name)
    usage = read_value("usage")
    prompt = read_prompt(messages)
    max_tokens = read_value("max_tokens")
    if "max_completion_tokens" in values and (other := values["max_completion_tokens"]) is not None:
        max_tokens = other if max_tokens is None else min(max_tokens, other)
    special = _NOTHING_SPECIAL if members.keys() <= _ORDINARY else members.keys() - _ORDINARY
    wanted = _options(members, special, prompt) if special or prompt is not EMPTY else None
    preferences = read_preferences(members) if special and not special.isdisjoint(_TO_ROUTER) else None
    envelope = Envelope(
        model_of(members, preferences),
        members,
        len(body),
        read_value("stream") is True,
        options is not None and options.include_usage is True,
        max_tokens,
        read_value("n") or 1,
        prompt_bytes,
    )
    if wanted is None and preferences is None and usage is None and prompt is EMPTY:
        return envelope  # as most are: a text, and nothing that is a matter of its own
    return msgspec.structs.replace(
        _with_prompt(envelope, prompt, wanted),
        include_usage=envelope.include_usage or (usage is not None and usage.include is True),
        preferences=preferences,
    )


def _with_prompt(envelope: Envelope, prompt: Prompt, options: Options | None) -> Envelope:
    """With what the prompt has beside its text, and what is asked for beside a plain answer."""
    return msgspec.structs.replace(
        envelope,
        remote_images=prompt.images,
        remote_others=prompt.others,
        inline_media=prompt.inline,
        options=options,
        tier="" if options is None else options.tier,
        cache_life="" if options is None else _longest(options.cache_lives),
    )


def _longest(lives: Collection[str]) -> str:
    return "12h" if "12h" in lives else "1h" if "1h" in lives else ""


def _options(members: Members, special: Set[str], prompt: Prompt) -> Options | None:
    if not special and prompt.state is None and not prompt.cache_lives:
        return None
    options = read_options(members, special)
    if prompt.state is not None:
        options.state = prompt.state
    options.cache_lives |= prompt.cache_lives
    return options


def members_of(body: bytes) -> Members:
    """The top-level members of a request. Invalid."""
    try:
        if not body.isascii():
            # Raw values are checked for their grammar, not for their encoding.
            body.decode()
        if len(body) > SMALL_BYTES:
            bound(body, MEMBERS_MAX)
        members = decode_members(body)
    except RecursionError:
        raise Invalid("the body is nested too deeply to be read") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        hint = "an object is expected" if isinstance(problem, msgspec.ValidationError) else str(problem)
        raise Invalid(f"the body is not a JSON object: {hint}", code="invalid_json") from None
    if len(members) > MEMBERS_MAX:
        raise Invalid(f"the body must not have more than {MEMBERS_MAX} members")
    return members


def model_of(members: Members, preferences: Preferences | None = None) -> str:
    """The model that a request asks for. Invalid."""
    raw = members.get("model")
    if raw is None or (preferences is not None and bytes(raw) == b"null"):
        if preferences is not None and preferences.models:
            return preferences.models[0]
        raise Invalid("'model' is missing: name one as 'provider/model'", "model", "missing_required_parameter")
    try:
        model: str = _decode_str(raw)
    except msgspec.DecodeError:
        raise Invalid("'model' must be a string such as 'openai/gpt-4o-mini'", "model") from None
    if not model:
        raise Invalid("'model' is empty: name one as 'provider/model'", "model")
    return model
