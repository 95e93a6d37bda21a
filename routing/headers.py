"""What crosses, in both directions, as tables; the check of a caller's headers, and the request head a provider gets.

Rule: nothing crosses that is not named here. Callers' credentials, cookies and addresses never reach a provider; what a provider
says about our account never reaches a caller.
Strategy: one loop over a caller's headers checks them and picks what is needed; the head to a provider is built once per key.
"""

import re
from typing import Final

import msgspec

from routing.provider import Provider
from routing.refusal import Refusal

Headers = list[tuple[bytes, bytes]]

USER_AGENT: Final = b"tollway/0.1.0"

TO_UPSTREAM: Final = {
    b"traceparent": re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{0,64})?\Z"),
    b"tracestate": re.compile(rb"[\x20-\x7e]{1,512}\Z"),
}
"""A caller's headers that a provider gets, with the shape they must have; in another shape they are dropped, as W3C asks.

Not `idempotency-key`: all callers share our account at the provider, so equal keys of two would give one the other's answer.
Not `openai-beta` and its like: what a beta does and costs is the operator's to decide (`extra_headers`).
"""

TO_DOWNSTREAM: Final = frozenset({b"content-type", b"openai-processing-ms"})
"""A provider's headers that the caller gets. Not `x-ratelimit-*`, `openai-organization` and cookies: they tell of our account."""

OWN_HEADERS: Final = frozenset(
    b"host content-type content-length accept accept-encoding connection keep-alive proxy-authenticate proxy-authorization"
    b" proxy-connection te trailer transfer-encoding upgrade expect cookie".split()
)
"""What a table may not put into `extra_headers`: we write it ourselves, or it belongs to one hop."""

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}\Z")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}\Z")
IGNORED_BYTES_MAX: Final = 512
_BREAKING: Final = re.compile(r"[^\x20-\x7e\t]")


class Arrival(msgspec.Struct, gc=False):
    """What we need of a caller's headers. `forwarded` is ready to stand in the head to a provider: whole lines, or nothing."""

    host: bytes = b""
    authorization: bytes | None = None
    """With the key of `x-api-key` or `api-key`, if it was sent there."""
    request_id: str | None = None
    """The caller's own, if it is well-formed."""
    content_length: int | None = None
    is_chunked: bool = False
    user_agent: str = ""
    forwarded: bytes = b""
    api_key: bytes | None = None


def validate(headers: Headers, header_count_max: int = 64, http_version: str = "1.1") -> Arrival | Refusal:
    """A caller's headers (names in lower case, as ASGI has them), or why the request is not read at all. HTTP/1.0 knew no Host
    (RFC 9112 3.2 asks it of 1.1 alone)."""
    if len(headers) > header_count_max:
        return _refusal("too_many_headers", f"{len(headers)} headers are more than the {header_count_max} this proxy reads")
    arrival = Arrival()
    for name, value in headers:
        read = _READERS.get(name)
        if read is not None:
            wrong = read(arrival, name, value)
            if wrong is not None:
                return wrong
    if not arrival.host and http_version not in ("1.0", "1"):  # granian says 1, and names an empty host
        return _refusal("invalid_host", "the request needs one Host header")
    if arrival.api_key is not None and not _agree(arrival):
        return _disagreement()
    if arrival.is_chunked and arrival.content_length is not None:
        return _refusal("ambiguous_length", "Content-Length and Transfer-Encoding exclude each other")
    return arrival


def own_request_id(headers: Headers) -> str | None:
    """The caller's `x-request-id`, if it is well-formed."""
    found = (value for name, value in headers if name == b"x-request-id" and _REQUEST_ID.match(value))
    return next((value.decode("ascii") for value in found), None)


def _refusal(code: str, message: str, status: int = 400) -> Refusal:
    return Refusal(status, code, message)


def _host(arrival: Arrival, _: bytes, value: bytes) -> Refusal | None:
    if not value:
        return None
    if arrival.host or not _HOST.match(value):
        return _refusal("invalid_host", "the request needs one valid Host header")
    arrival.host = value
    return None


def _authorization(arrival: Arrival, _: bytes, value: bytes) -> Refusal | None:
    if not value.isascii():
        return _refusal("invalid_api_key", "the credentials have characters that no key has", 401)
    if arrival.authorization is not None:
        return _refusal("invalid_api_key", "the request has more than one Authorization header", 401)
    arrival.authorization = value
    return None


def _api_key(arrival: Arrival, _: bytes, value: bytes) -> Refusal | None:
    """`x-api-key` and `api-key`, where Anthropic's and Azure's clients put a key: the same as a bearer."""
    key = value.strip()
    if not key.isascii():
        return _refusal("invalid_api_key", "the credentials have characters that no key has", 401)
    if key and arrival.api_key not in (None, key):
        return _disagreement()
    arrival.api_key = key or arrival.api_key
    return None


def _disagreement() -> Refusal:
    return _refusal("invalid_api_key", "Authorization, x-api-key and api-key carry different keys: send one of them", 401)


def _agree(arrival: Arrival) -> bool:
    """Whether the key in a header of its own is the one in Authorization; a bearer that is empty says nothing."""
    scheme, _, bearer = (arrival.authorization or b"").strip().partition(b" ")
    bearer = bearer.strip()
    if not bearer and scheme.lower() in (b"", b"bearer"):
        assert arrival.api_key is not None
        arrival.authorization = b"Bearer " + arrival.api_key
        return True
    return scheme.lower() == b"bearer" and bearer == arrival.api_key


def _content_length(arrival: Arrival, _: bytes, value: bytes) -> Refusal | None:
    if not _LENGTH.match(value) or arrival.content_length not in (None, int(value)):
        return _refusal("invalid_content_length", "Content-Length must be one whole number")
    arrival.content_length = int(value)
    return None


def _transfer_encoding(arrival: Arrival, _: bytes, value: bytes) -> Refusal | None:
    if arrival.is_chunked or value.strip().lower() != b"chunked":
        return _refusal("unsupported_transfer_encoding", "the only transfer encoding this proxy reads is 'chunked', once")
    arrival.is_chunked = True
    return None


def _content_encoding(_: Arrival, __: bytes, value: bytes) -> Refusal | None:
    if value.strip().lower() not in (b"identity", b""):
        message = "a compressed body is not read: send it without a Content-Encoding"
        return _refusal("unsupported_content_encoding", message, 415)
    return None


def _request_id(arrival: Arrival, _: bytes, value: bytes) -> None:
    if arrival.request_id is None and _REQUEST_ID.match(value):
        arrival.request_id = value.decode("ascii")


def _user_agent(arrival: Arrival, _: bytes, value: bytes) -> None:
    text = value[:200].decode("latin-1")
    arrival.user_agent = _BREAKING.sub("?", text) if _BREAKING.search(text) else text


def _forwarded(arrival: Arrival, name: bytes, value: bytes) -> None:
    line = name + b": "
    if TO_UPSTREAM[name].match(value) and line not in arrival.forwarded:
        arrival.forwarded += line + value + b"\r\n"


_READERS: Final = {
    b"host": _host,
    b"authorization": _authorization,
    b"x-api-key": _api_key,
    b"api-key": _api_key,
    b"content-length": _content_length,
    b"transfer-encoding": _transfer_encoding,
    b"content-encoding": _content_encoding,
    b"x-request-id": _request_id,
    b"user-agent": _user_agent,
} | dict.fromkeys(TO_UPSTREAM, _forwarded)


def upstream_head_prefix(provider: Provider, secret: str | None, user_agent: bytes = USER_AGENT) -> bytes:
    """The request head up to and with `content-length: `; number, `Arrival.forwarded` and an empty line follow.

    ValueError when the secret cannot stand in a header; the message does not quote it.
    """
    lines = [("host", provider.base_url.authority)]
    if secret is not None:
        if not secret or _BREAKING.search(secret):
            raise ValueError(f"the key of {provider.name} is empty or has characters that cannot stand in a header")
        name, colon, scheme = provider.auth_header.partition(": ")
        lines.append((name, f"{scheme} {secret}" if colon else secret))
    if all(name != "user-agent" for name, _ in provider.extra_headers):
        lines.append(("user-agent", user_agent.decode("ascii")))
    # One `accept` for both kinds of answer: it is what OpenAI's own libraries send, streamed or not.
    lines += [("accept", "application/json"), ("accept-encoding", "identity"), ("content-type", "application/json")]
    head = [f"POST {provider.base_url.path}/chat/completions HTTP/1.1"]
    head += [f"{name}: {value}" for name, value in (*lines, *provider.extra_headers)]
    if any(_BREAKING.search(line) for line in head):
        raise ValueError(f"a header of {provider.name} has characters that cannot stand in a header")
    return ("\r\n".join(head) + "\r\ncontent-length: ").encode("ascii")


def _listed(names: tuple[str, ...]) -> bytes:
    """Names for a header, as far as they can stand in one."""
    return _BREAKING.sub("?", ", ".join(names))[:IGNORED_BYTES_MAX].encode("ascii")


def to_downstream(
    upstream: Headers, generation_id: bytes, request_id: bytes, ignored: tuple[str, ...] = (), *, is_stream: bool
) -> Headers:
    """The headers of our answer, without a length: what the provider's may tell, and ours.

    `ignored` are the members of the request that were left out. The type is the provider's word where that fits what is sent.
    """
    kind = b"text/event-stream" if is_stream else b"application/json"
    headers = [header for header in upstream if header[0] in TO_DOWNSTREAM]
    types = [value for name, value in headers if name == b"content-type"]
    if len(types) != 1 or not types[0].lower().startswith(kind):
        headers = [(b"content-type", kind), *(header for header in headers if header[0] != b"content-type")]
    headers += ((b"x-generation-id", generation_id), (b"x-request-id", request_id), (b"cache-control", b"no-store"))
    if ignored:
        headers.append((b"x-tollway-ignored", _listed(ignored)))
    if is_stream:
        headers.append((b"x-accel-buffering", b"no"))
    return headers
