"""The body that a provider gets, rebuilt from the members of the one that came.

Rule: one name, one member; what is not to be changed goes as the bytes that came.
"""

from typing import Final

import msgspec
from msgspec import Raw

from routing.plan.fit import AS_SENT, Fit
from routing.request.envelope import Envelope
from routing.wire.members import Members, key_of

JOIN_BYTES_MAX: Final = 65_536
"""Below this a body is sent as one piece; above, as its parts, of which the large ones are not copied."""
COPY_BYTES_MAX: Final = 4_096
_encode = msgspec.json.Encoder().encode


def rewrite(
    envelope: Envelope,
    upstream_model: str,
    cap: int | None,
    cap_field: str,
    has_stream_options: bool,
    cap_max: int | None = None,
    fit: Fit = AS_SENT,
) -> list[bytes | memoryview]:
    """The body for a provider, as parts to be sent one after another. Calling it again gives the same.

    `cap`: completion tokens to allow when the caller's own cap is absent; `cap_max`: the most that the model gives, a caller's
    cap above it is lowered to it; `cap_field`: "max_tokens", "max_completion_tokens" or "as_sent"; `has_stream_options`: whether
    the provider takes `stream_options` (then usage is always asked for). `fit`: what else is changed for this provider.
    """
    values = envelope.members.copy()
    values["model"] = Raw(_encode(upstream_model))
    if fit is not AS_SENT:
        for name in fit.drops:
            values.pop(name, None)
        values.update(fit.sets)
    max_tokens = envelope.max_tokens
    if max_tokens is not None and cap_max is not None and cap_max < max_tokens:
        max_tokens = cap_max
        for name in ("max_tokens", "max_completion_tokens"):
            if bytes(values.get(name, b"null")) != b"null":
                values[name] = Raw(b"%d" % max_tokens)
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
    return encoded(values, envelope.bytes_total)


def encoded(values: Members, bytes_total: int) -> list[bytes | memoryview]:
    """The members as an object: in one piece, or in parts of which the large ones are not copied."""
    return [_encode(values)] if bytes_total <= JOIN_BYTES_MAX else _parts(values)


def _parts(values: Members) -> list[bytes | memoryview]:
    """Large members as they are, and everything between two of them in one piece."""
    parts: list[bytes | memoryview] = []
    small: list[bytes | Raw] = []
    mark = b"{"
    for name, value in values.items():
        small += (mark, key_of(name))
        mark = b","
        if len(value) > COPY_BYTES_MAX:
            parts += (b"".join(small), memoryview(value))
            small = []
        else:
            small.append(value)
    small.append(b"}")
    parts.append(b"".join(small))
    return parts


_decode_options = msgspec.json.Decoder(Members | None).decode


def _with_usage(options: Raw | None) -> Raw:
    members = (options is not None and _decode_options(options)) or {}
    members["include_usage"] = Raw(b"true")
    return Raw(_encode(members))
