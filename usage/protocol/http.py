"""The node protocol over HTTP: all that an edge and a collector have to agree on beside the messages themselves.

A message is `POST /node/v1/<name>` with JSON, gzipped or not, and the node's token as a bearer token; `enrol` brings its group's.
200 brings the answer; any other status an `NodeError`, and `retry-after` where it is worth while to come again.
Rule: both ends take path, headers, statuses and bodies from here, and have none of their own. Rule: a refusal is said in a
collector's own words. What stands before one (a gateway, another program there) may say 401 or 409 too, and that passes, while
`fenced` ends an edge for good.
Limits: that a fault is lasting is not told: an edge that is elsewhere serves on from its leases.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from usage.decoding import UNREADABLE
from usage.protocol import MESSAGES, Enrol, Enrolled, Refused, Unreachable
from usage.retry_after import retry_after_header, wait_s_of

BASE: Final = "/node/v1"
ROUTE: Final = BASE + "/{name}"
METHOD: Final = "POST"
MEDIA_TYPE: Final = "application/json"
GZIP: Final = "gzip"
CODINGS: Final = ("identity", GZIP)
ENROL: Final = "enrol"
EXCHANGES: Final[Mapping[str, tuple[type[msgspec.Struct], type[msgspec.Struct]]]] = {**MESSAGES, ENROL: (Enrol, Enrolled)}
"""Name → (request, answer): those of `CollectorClient`, and the one that there is over HTTP only."""

STATUSES: Final[Mapping[str, int]] = {
    "invalid": 400,
    "bad_node_token": 403,
    "revoked": 403,
    "fenced": 409,
    "node_in_use": 409,
    "too_large": 413,
}
"""Code of a refusal → status."""
UNKNOWN_TOKEN: Final = 401
"""`bad_node_token` with 401: the token is unknown; 403 is for a token of another node."""
NO_MESSAGE: Final = 404
UNAVAILABLE: Final = 503
UNAVAILABLE_CODE: Final = "unavailable"
TOO_LARGE: Final = 413
"""The one status that helps whoever says it: fewer records at once pass a gateway's bound, too."""
SAID_CHARS_MAX: Final = 200


class UnknownToken(Refused):
    """Nobody is known by this token."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_node_token", message)


class UnknownMessage(Refused):
    """There is no message of that name."""

    def __init__(self, name: str) -> None:
        super().__init__("invalid", f"there is no message {name[:40]}; there are {', '.join(EXCHANGES)}")


class NodeError(msgspec.Struct, frozen=True):
    """`code` is one of STATUSES, or UNAVAILABLE_CODE."""

    code: str
    message: str


class ErrorAnswer(NamedTuple):
    """An error as it goes out, without content-type and content-length."""

    status: int
    headers: dict[str, str]
    body: bytes


class _OthersError(msgspec.Struct):
    message: str = ""


class _OthersAnswer(msgspec.Struct):
    """`{"error": {"message"}}`, as APIs before a collector say it."""

    message: str = ""
    error: _OthersError | None = None


_encode: Final = msgspec.json.Encoder().encode
_decode_error: Final = msgspec.json.Decoder(NodeError).decode
_decode_others: Final = msgspec.json.Decoder(_OthersAnswer).decode


def path_of(name: str) -> str:
    """Where a message goes, below the collector's address."""
    return f"{BASE}/{name}"


def request_headers(token: str, *, is_gzipped: bool = False) -> dict[str, str]:
    """What stands in a message's head."""
    headers = {"content-type": MEDIA_TYPE, "authorization": f"Bearer {token}"}
    return headers | {"content-encoding": GZIP} if is_gzipped else headers


def token_of(authorization: str) -> str:
    """The token in the value of that header; empty when there is none."""
    scheme, _, token = authorization.partition(" ")
    return token if scheme.lower() == "bearer" else ""


def error_answer(error: Refused | Unreachable) -> ErrorAnswer:
    """What a collector answers instead of an answer."""
    if isinstance(error, Unreachable):
        headers = {"retry-after": retry_after_header(error.retry_after_s or 1.0)}
        return ErrorAnswer(UNAVAILABLE, headers, _encode(NodeError(UNAVAILABLE_CODE, str(error))))
    status = STATUSES[error.code]
    if isinstance(error, UnknownToken):
        status = UNKNOWN_TOKEN
    elif isinstance(error, UnknownMessage):
        status = NO_MESSAGE
    return ErrorAnswer(status, {}, _encode(NodeError(error.code, str(error))))


def error_of(status: int, headers: Mapping[str, str], body: bytes, now_unix_s: float) -> Refused | Unreachable:
    """What an answer other than 200 means to an edge. `headers` by their names in lower case."""
    said = said_by(body)
    try:
        own: NodeError | None = _decode_error(body)
    except UNREADABLE:
        own = None
    if own is not None and _is_refusal(status, own.code):
        return Refused(own.code, said)
    reason = f"the collector answered {status}" + (f": {said}" if said else "")
    if status == TOO_LARGE:
        return Refused("too_large", reason)
    return Unreachable(reason, wait_s_of(headers.get("retry-after", ""), now_unix_s))


def _is_refusal(status: int, code: str) -> bool:
    return STATUSES.get(code) == status or (status == UNKNOWN_TOKEN and code == "bad_node_token")


def said_by(body: bytes) -> str:
    """The message in an error body, shortened: a collector's, or that of what stands before it. Empty when it is neither."""
    try:
        found = _decode_others(body)
    except UNREADABLE:
        return ""
    return (found.message if found.error is None else found.error.message)[:SAID_CHARS_MAX]
