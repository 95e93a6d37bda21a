"""What crosses, in both directions, as tables; the check of a caller's headers, and the request head a provider gets.

Rule: nothing crosses that is not named here. Callers' credentials, cookies and addresses never reach a provider; what a provider
says about our account never reaches a caller.
Strategy: what is needed of a caller's headers is looked up by name, once those that are repeated were judged; the head to a
provider is built once per key.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec

from routing.plan.refusal import Refusal
from routing.table.endpoint import CHAT, FORMATS, Endpoint
from routing.table.provider import Provider

Headers = list[tuple[bytes, bytes]]
Fields = dict[bytes, bytes]

USER_AGENT: Final = b"tollway/0.1.0"

TO_UPSTREAM: Final = {
    b"traceparent": re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{0,64})?\Z"),
    b"tracestate": re.compile(rb"[\x20-\x7e]{1,512}\Z"),
}
"""A caller's headers that a provider gets, with the shape they must have; in another shape they are dropped, as W3C asks.

Not `idempotency-key`, which is obeyed here (`edge.relay.idempotency`): all callers share our account at the provider, so equal
keys of two would give one the other's answer.
Not `openai-beta` and its like: what a beta does and costs is the operator's to decide (`extra_headers`).
"""

TO_DOWNSTREAM: Final = (b"openai-processing-ms",)
"""A provider's headers that the caller gets, beside the content-type. Not `x-ratelimit-*`, `openai-organization` and cookies:
they tell of our account."""

OWN_HEADERS: Final = frozenset(
    b"host content-type content-length accept accept-encoding connection keep-alive proxy-authenticate proxy-authorization"
    b" proxy-connection te trailer transfer-encoding upgrade expect cookie".split()
)
"""What a table may not put into `extra_headers`: we write it ourselves, or it belongs to one hop."""

KEY_HEADERS: Final = (b"x-api-key", b"api-key", b"x-goog-api-key")
"""Where a key stands beside Authorization: Anthropic's, Azure's and Google's clients."""

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}\Z")
LENGTH_DIGITS_MAX: Final = 18
IGNORED_BYTES_MAX: Final = 512
_NO_STORE: Final = (b"cache-control", b"no-store")
_BREAKING: Final = re.compile(r"[^\x20-\x7e\t]")


class Arrival(msgspec.Struct, gc=False):
    """What we need of a caller's headers. `forwarded` is ready to stand in the head to a provider: whole lines, or nothing."""

    host: bytes = b""
    authorization: bytes | None = None
    """With the key of one of `KEY_HEADERS`, if it was sent there."""
    request_id: str | None = None
    """The caller's own, if it is well-formed."""
    content_length: int | None = None
    is_chunked: bool = False
    user_agent: str = ""
    forwarded: bytes = b""
    api_key: bytes | None = None
    idempotency_key: bytes | None = None
    """As it came; what it may be is the paid path's to say (`edge.relay.idempotency`)."""
    metadata: str = ""
    """Under which name the caller wants to read how its request was routed, empty: not at all."""


def validate(headers: Headers, header_count_max: int = 64, http_version: str = "1.1") -> Arrival | Refusal:
    """A caller's headers (names in lower case, as ASGI has them), or why the request is not read at all. HTTP/1.0 knew no Host
    (RFC 9112 3.2 asks it of 1.1 alone)."""
    if len(headers) > header_count_max:
        return _refusal("too_many_headers", f"{len(headers)} headers are more than the {header_count_max} this proxy reads")
    fields = dict(headers)
    if len(fields) < len(headers):
        merged = _merged(headers)
        if isinstance(merged, Refusal):
            return merged
        fields = merged
    read = fields.get
    host, authorization, length = read(b"host", b""), read(b"authorization"), read(b"content-length")
    if not _HOST.match(host) and (host or http_version not in ("1.0", "1")):  # granian says 1, and names an empty host
        return _refusal("invalid_host", "the request needs one valid Host header")
    if authorization is not None and not authorization.isascii():
        return _refusal("invalid_api_key", "the credentials have characters that no key has", 401)
    if length is not None and not (length.isdigit() and len(length) <= LENGTH_DIGITS_MAX):
        return _refusal("invalid_content_length", "Content-Length must be one whole number")
    request_id, user_agent = read(b"x-request-id", b""), read(b"user-agent", b"")
    arrival = Arrival(
        host,
        authorization,
        request_id.decode("ascii") if _REQUEST_ID.match(request_id) else None,
        None if length is None else int(length),
        False,
        _shown(user_agent[:200]),
    )
    return arrival if _SELDOM.isdisjoint(fields) else _with_seldom(arrival, fields)


METADATA: Final = {b"x-openrouter-metadata": "openrouter_metadata", b"x-tollway-metadata": "tollway_metadata"}
"""A header that is `enabled` → the member that the answer carries; ours counts if both are sent."""
_SELDOM: Final = frozenset((*KEY_HEADERS, b"transfer-encoding", b"content-encoding", b"idempotency-key", *TO_UPSTREAM, *METADATA))


def _with_seldom(arrival: Arrival, fields: Fields) -> Arrival | Refusal:
    """What most requests do not have."""
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if coding.strip().lower() != b"chunked":
            return _repeated_coding()
        if arrival.content_length is not None:
            return _refusal("ambiguous_length", "Content-Length and Transfer-Encoding exclude each other")
        arrival.is_chunked = True
    if not _is_identity(fields.get(b"content-encoding", b"")):
        message = "a compressed body is not read: send it without a Content-Encoding"
        return _refusal("unsupported_content_encoding", message, 415)
    arrival.idempotency_key = fields.get(b"idempotency-key")
    for name, shape in TO_UPSTREAM.items():
        value = fields.get(name)
        if value is not None and shape.match(value):
            arrival.forwarded += b"%b: %b\r\n" % (name, value)
    for name, member in METADATA.items():
        if fields.get(name, b"").strip().lower() == b"enabled":
            arrival.metadata = member
    for name in KEY_HEADERS:
        key = fields.get(name, b"").strip()
        if not key.isascii():
            return _refusal("invalid_api_key", "the credentials have characters that no key has", 401)
        if key and arrival.api_key not in (None, key):
            return _disagreement()
        arrival.api_key = key or arrival.api_key
    return arrival if arrival.api_key is None or _agree(arrival) else _disagreement()


def _merged(headers: Headers) -> Fields | Refusal:
    """The fields of a head in which some stand more than once: of each the value that counts, or why there is none."""
    fields: Fields = {}
    for name, value in headers:
        if name in fields and name in _CHOICES:
            choice = _CHOICES[name](fields[name], value)
            if isinstance(choice, Refusal):
                return choice
            value = choice
        fields[name] = value
    return fields


def own_request_id(headers: Headers) -> str | None:
    """The caller's `x-request-id`, if it is well-formed."""
    found = (value for name, value in headers if name == b"x-request-id" and _REQUEST_ID.match(value))
    return next((value.decode("ascii") for value in found), None)


def _refusal(code: str, message: str, status: int = 400) -> Refusal:
    return Refusal(status, code, message)


def _disagreement() -> Refusal:
    return _refusal(
        "invalid_api_key", "Authorization and the other headers with a key carry different keys: send one of them", 401
    )


def _agree(arrival: Arrival) -> bool:
    """Whether the key in a header of its own is the one in Authorization; a bearer that is empty says nothing."""
    scheme, _, bearer = (arrival.authorization or b"").strip().partition(b" ")
    bearer = bearer.strip()
    if not bearer and scheme.lower() in (b"", b"bearer"):
        assert arrival.api_key is not None
        arrival.authorization = b"Bearer " + arrival.api_key
        return True
    return scheme.lower() == b"bearer" and bearer == arrival.api_key


def _repeated_coding() -> Refusal:
    return _refusal("unsupported_transfer_encoding", "the only transfer encoding this proxy reads is 'chunked', once")


def _is_identity(coding: bytes) -> bool:
    return coding.strip().lower() in (b"identity", b"")


@lru_cache(256)
def _shown(user_agent: bytes) -> str:
    text = user_agent.decode("latin-1")
    return text if text.isascii() and text.isprintable() else _BREAKING.sub("?", text)


def _same_host(first: bytes, second: bytes) -> bytes | Refusal:
    if first and second:
        return _refusal("invalid_host", "the request needs one valid Host header")
    return first or second


def _same_key(first: bytes, second: bytes) -> bytes | Refusal:
    first, second = first.strip(), second.strip()
    return _disagreement() if first and second and first != second else first or second


def _same_name(first: bytes, second: bytes) -> bytes | Refusal:
    if first == second:
        return first
    return _refusal("invalid_idempotency_key", "the request has two Idempotency-Key headers that differ: send one")


def _same_length(first: bytes, second: bytes) -> bytes | Refusal:
    if first.isdigit() and second.isdigit() and first.lstrip(b"0") == second.lstrip(b"0"):
        return first
    return _refusal("invalid_content_length", "Content-Length must be one whole number")


_CHOICES: Final[dict[bytes, Callable[[bytes, bytes], bytes | Refusal]]] = {
    b"host": _same_host,
    b"authorization": lambda *_: _refusal("invalid_api_key", "the request has more than one Authorization header", 401),
    **dict.fromkeys(KEY_HEADERS, _same_key),
    b"content-length": _same_length,
    b"transfer-encoding": lambda *_: _repeated_coding(),
    b"content-encoding": lambda first, second: second if _is_identity(first) else first,
    b"idempotency-key": _same_name,
    b"x-request-id": lambda first, second: first if _REQUEST_ID.match(first) else second,
    **{
        name: lambda first, second, shape=shape: first if shape.match(first) else second  # type: ignore[misc]
        for name, shape in TO_UPSTREAM.items()
    },
}
"""Which of two values of a header counts, if they may differ at all; of any other header the last one."""


def upstream_head_prefix(
    provider: Provider,
    secret: str | None,
    user_agent: bytes = USER_AGENT,
    endpoint: Endpoint = CHAT,
    model: str = "",
    *,
    is_stream: bool = False,
) -> bytes:
    """The request head up to and with `content-length: `; number, `Arrival.forwarded` and an empty line follow.

    `endpoint`: which of the provider's; `model` and `is_stream` are for a path that differs by them. The type of a form, whose
    boundary is each request's own, is not in it.

    ValueError when the secret cannot stand in a header; the message does not quote it.
    """
    base = endpoint.base_url or provider.base_url
    lines = [("host", base.authority)]
    if secret is not None:
        if not secret or _BREAKING.search(secret):
            raise ValueError(f"the key of {provider.name} is empty or has characters that cannot stand in a header")
        name, colon, scheme = (endpoint.auth_header or provider.auth_header).partition(": ")
        lines.append((name, f"{scheme} {secret}" if colon else secret))
    if all(name != "user-agent" for name, _ in provider.extra_headers):
        lines.append(("user-agent", user_agent.decode("ascii")))
    # One `accept` for both kinds of answer: it is what OpenAI's own libraries send, streamed or not.
    lines += [("accept", FORMATS[endpoint.format].accept), ("accept-encoding", "identity")]
    if not FORMATS[endpoint.format].is_form:
        lines.append(("content-type", "application/json"))
    head = [f"POST {base.path}{endpoint.target(model, is_stream=is_stream)} HTTP/1.1"]
    head += [f"{name}: {value}" for name, value in (*lines, *provider.extra_headers)]
    if any(_BREAKING.search(line) for line in head):
        raise ValueError(f"a header of {provider.name} has characters that cannot stand in a header")
    return ("\r\n".join(head) + "\r\ncontent-length: ").encode("ascii")


def listed(names: tuple[str, ...]) -> str:
    """Names as one line of ASCII, as far as they can stand in a header."""
    return _BREAKING.sub("?", ", ".join(names)[:IGNORED_BYTES_MAX])


def _count(headers: Headers, name: bytes) -> int:
    return [each for each, _ in headers].count(name)


def to_downstream(
    upstream: Headers, fields: Fields, generation_id: bytes, request_id: bytes, ignored: tuple[str, ...], is_stream: bool
) -> Headers:
    """The headers of our answer, without a length: what the provider's (`fields`: by name) may tell, and ours.

    `ignored` are the members of the request that were left out. The type is the provider's word where that fits what is sent.
    """
    kind = b"text/event-stream" if is_stream else b"application/json"
    told = fields.get(b"content-type", kind)
    if not told.lower().startswith(kind) or (len(fields) < len(upstream) and _count(upstream, b"content-type") > 1):
        told = kind
    headers = [(b"content-type", told), (b"x-generation-id", generation_id), (b"x-request-id", request_id), _NO_STORE]
    for name in TO_DOWNSTREAM:
        if name in fields:
            headers.insert(1, (name, fields[name]))
    if ignored:
        headers.append((b"x-tollway-ignored", listed(ignored).encode("ascii")))
    if is_stream:
        headers.append((b"x-accel-buffering", b"no"))
    return headers
