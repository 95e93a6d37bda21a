"""The view of a chat-completion request that decides, and the rewrite of its body for a provider.

Strategy: the body is split into its top-level members with raw values; only the few that decide are decoded. The forwarded body
is rebuilt from those members, so what was read is what is sent: a repeated `"model"` cannot price one model and call another.
Limits: parameters are checked as far as DESIGN documents them; everything else passes as it came.
"""

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw

from routing.splice import Members, decode_members, key_of

JOIN_BYTES_MAX = 65_536
"""Below this a body is sent as one piece; above, as its parts, of which the large ones are not copied."""
COPY_BYTES_MAX = 4_096


class Invalid(Exception):
    """The request cannot be served as it is; `param` names the member to mend (None: the body as a whole)."""

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What decides. `max_tokens` is the caller's own cap per choice, None when there is none; `bytes_total` bounds the prompt's
    tokens (a token is at least one byte), except for the `remote_images` and the `remote_others` (documents, videos), whose
    content is elsewhere. `prompt_bytes` are what a model reads, `inline_media` the bytes among them of each image or sound."""

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


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


_encode = msgspec.json.Encoder().encode


def _decoder(kind: Any) -> Any:
    return msgspec.json.Decoder(kind).decode


_PositiveInt = Annotated[int, Meta(ge=1, le=2**53)]
_CHECKS: Final = {
    name: (_decoder(kind), expected)
    for name, kind, expected in (
        ("stream", bool | None, "true or false"),
        ("temperature", Annotated[float, Meta(ge=0, le=2)] | None, "a number from 0 to 2"),
        ("top_p", Annotated[float, Meta(ge=0, le=1)] | None, "a number from 0 to 1"),
        ("max_tokens", _PositiveInt | None, "a whole number of at least 1"),
        ("max_completion_tokens", _PositiveInt | None, "a whole number of at least 1"),
        ("stop", str | Annotated[list[str], Meta(max_length=4)] | None, "one string or a list of up to four strings"),
        ("n", Annotated[int, Meta(ge=1, le=128)] | None, "a whole number from 1 to 128"),
        ("stream_options", _StreamOptions | None, "an object such as {'include_usage': true}"),
    )
}
_PROMPT: Final = frozenset(("messages", "tools", "functions", "response_format"))
"""What a model reads."""
_decode_str = _decoder(str)
_FILLED_LIST = re.compile(rb"\[[ \t\r\n]*[^\] \t\r\n]")
_MEDIA = re.compile(
    rb'"(?:url"\s*:\s*"(data:)?|image_url"\s*:\s*"(data:)?|data(")\s*:\s*"|file_id(")\s*:'
    rb'|[a-z_](?!mage_url")[a-z_]{0,32}(_url"\s*:(?!\s*"data:)|\\u00(?:5[fF]|[67][0-9a-fA-F])[\w\\]*"\s*:)'
    rb'|\\u00(5[fF]|[67][0-9a-fA-F])[\w\\]*"\s*:)'
)
"""What names a medium: a link to an image or its data (1, 2), the data of a sound (3), or a link to anything else (4 and on). A
name with a letter spelled as its number may be any of them. Each way begins with a character, which is what makes it fast."""
MEDIA_PARTS_MAX = 4_096
"""More than any provider takes, and few enough to be counted."""
_QUOTE = re.compile(rb'"')


def read(body: bytes) -> Envelope:
    """The envelope of a request body; Invalid names what is wrong and what would be right."""
    members = _members(body)
    messages = members.get("messages")
    if messages is None:
        raise Invalid("'messages' is missing: send a list of at least one message", "messages", "missing_required_parameter")
    if _FILLED_LIST.match(messages) is None:
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
    remote_images, remote_others, inline_media = _media(body, messages)
    max_tokens, other_max_tokens = read_value("max_tokens"), read_value("max_completion_tokens")
    if other_max_tokens is not None:
        max_tokens = other_max_tokens if max_tokens is None else min(max_tokens, other_max_tokens)
    return Envelope(
        model=_model(members),
        members=members,
        bytes_total=len(body),
        stream=read_value("stream") is True,
        include_usage=options is not None and options.include_usage is True,
        max_tokens=max_tokens,
        choices=read_value("n") or 1,
        prompt_bytes=prompt_bytes,
        remote_images=remote_images,
        remote_others=remote_others,
        inline_media=inline_media,
    )


def _media(body: bytes, messages: Raw) -> tuple[int, int, tuple[int, ...]]:
    """How many images and how many others are elsewhere, and the bytes of each image or sound that is here. Invalid."""
    if not (b'url"' in body or b'"file' in body or b"_audio" in body or b"\\u00" in body):
        return 0, 0, ()
    images = others = 0
    inline: list[int] = []
    found = _MEDIA.search(messages)
    while found is not None:
        end = found.end()
        if found.lastindex is None:
            images += 1
        elif found.lastindex > 3:
            others += 1
        else:
            # To the closing quote in one leap: what a search costs for each byte, it would cost for megabytes.
            quote = _QUOTE.search(messages, end)
            inline.append((quote.start() if quote is not None else len(messages)) - end)
            end += inline[-1]
        if images + others + len(inline) > MEDIA_PARTS_MAX:
            raise Invalid(f"'messages' must not have more than {MEDIA_PARTS_MAX} images, sounds and documents", "messages")
        found = _MEDIA.search(messages, end)
    return images, others, tuple(inline)


def _members(body: bytes) -> Members:
    try:
        if not body.isascii():
            # Raw values are checked for their grammar, not for their encoding.
            body.decode()
        return decode_members(body)
    except RecursionError:
        raise Invalid("the body is nested too deeply to be read") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        hint = "an object is expected" if isinstance(problem, msgspec.ValidationError) else str(problem)
        raise Invalid(f"the body is not a JSON object: {hint}", code="invalid_json") from None


def _model(members: Members) -> str:
    raw = members.get("model")
    if raw is None:
        raise Invalid("'model' is missing: name one as 'provider/model'", "model", "missing_required_parameter")
    try:
        model: str = _decode_str(raw)
    except msgspec.DecodeError:
        raise Invalid("'model' must be a string such as 'openai/gpt-4o-mini'", "model") from None
    if not model:
        raise Invalid("'model' is empty: name one as 'provider/model'", "model")
    return model


def rewrite(
    envelope: Envelope, upstream_model: str, *, cap: int | None, cap_field: str, has_stream_options: bool
) -> list[bytes | memoryview]:
    """The body for a provider, as parts to be sent one after another. Calling it again gives the same.

    `cap`: completion tokens to allow when the caller's own cap is absent; `cap_field`: "max_tokens", "max_completion_tokens" or
    "as_sent"; `has_stream_options`: whether the provider takes `stream_options` (then usage is always asked for).
    """
    values = envelope.members.copy()
    values["model"] = Raw(_encode(upstream_model))
    max_tokens = envelope.max_tokens
    if cap_field != "as_sent":
        other = "max_tokens" if cap_field == "max_completion_tokens" else "max_completion_tokens"
        if values.pop(other, None) is not None and max_tokens is not None:
            values[cap_field] = Raw(b"%d" % max_tokens)
    if cap is not None and max_tokens is None:
        values["max_tokens" if cap_field == "as_sent" else cap_field] = Raw(b"%d" % cap)
    if envelope.stream and has_stream_options:
        values["stream_options"] = _with_usage(values.get("stream_options"))
    else:
        values.pop("stream_options", None)
    if envelope.bytes_total <= JOIN_BYTES_MAX:
        return [_encode(values)]
    parts: list[bytes] = []
    for name, value in values.items():
        parts += (b",", key_of(name), value)
    parts[0] = b"{"
    parts.append(b"}")
    return [memoryview(part) if len(part) > COPY_BYTES_MAX else bytes(part) for part in parts]


_decode_options = msgspec.json.Decoder(Members | None).decode


def _with_usage(options: Raw | None) -> Raw:
    members = (options is not None and _decode_options(options)) or {}
    members["include_usage"] = Raw(b"true")
    return Raw(_encode(members))
