"""A failed attempt: what happened, whose doing it was, how far things had gone; and what follows from that.

Rule: a failed attempt may be tried again only when it cannot have cost anything and the caller has seen nothing of it. The
decision is one match over `Kind`, and so is the status; both end in `assert_never`, so a new kind cannot be forgotten.
Rule: the provider's own words reach the caller only where the caller is at fault; they say nothing about our account there.
Limits: statuses are those of the OpenAI error vocabulary; whatever else a provider answers is mapped onto them.
"""

import enum
from typing import Final, assert_never

import msgspec

from routing.complaint import upstream_message as upstream_message
from usage.flavor import type_of


class Kind(enum.Enum):
    """What happened."""

    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_FIRST_BYTE = "timeout_first_byte"
    TIMEOUT_IDLE = "timeout_idle"
    TIMEOUT_TOTAL = "timeout_total"
    BROKEN = "broken"
    """The connection died."""
    PROTOCOL = "protocol"
    """Not HTTP, or not what was promised."""
    STATUS = "status"
    """An answer that is not 2xx."""
    STREAM_ERROR = "stream_error"
    """An error reported inside a 200."""
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    ABORTED = "aborted"
    """We or the caller gave up."""
    INTERNAL = "internal"
    JOURNAL = "journal"
    """The intent could not be written, so the request was not sent."""


class Source(enum.Enum):
    """Whose doing it was."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    PROXY = "proxy"


class Sent(enum.Enum):
    """What had gone to the provider, or come to the caller, by then."""

    NOTHING = "nothing"
    REQUEST = "request"
    """At least one byte of the request was written to the provider."""
    HEAD = "head"
    """The caller has at least our response head."""


class Failure(msgspec.Struct, frozen=True):
    """One failed attempt. `status` is the provider's, 0 when it gave none; for a STREAM_ERROR the one named inside the error.

    `detail`, `code` and `param` are the provider's own words: for our records, and for the caller only where `status_of` blames
    the request (see `describe` and `param_of`).
    """

    kind: Kind
    source: Source
    sent: Sent
    status: int = 0
    retry_after_s: float | None = None
    detail: str = ""
    code: str = ""
    param: str | None = None


VANISHED: Final = 499
"""Our records' status of a caller that left before the answer; nobody reads it."""

_BLAMES_REQUEST: Final = frozenset({400, 404, 413})
_STATUS_OF_ANSWER: Final = {
    400: 400,
    404: 404,
    408: 504,
    410: 404,
    413: 413,
    415: 400,
    422: 400,
    429: 429,
    498: 503,  # Groq: capacity of the flex tier exceeded
    503: 503,
    504: 504,
    524: 504,  # Cloudflare in front of the provider gave up waiting
    529: 503,  # Anthropic and OpenRouter: overloaded
}
"""Provider's status → ours; the rest is 502: 401, 402 and 403 are about our key, redirects are not followed, 5xx are theirs."""

_OUR_KEY: Final = frozenset({401, 402, 403})


def _is_passing(status: int) -> bool:
    """Whether a provider that answers so says "not now" rather than "no"."""
    return status in (408, 429) or status >= 500


def may_retry(failure: Failure) -> bool:
    """Whether the same request may be sent again, to the same or to the next target."""
    if failure.source is Source.CLIENT:
        return False
    match failure.kind:
        case Kind.STATUS | Kind.STREAM_ERROR:
            return failure.sent is not Sent.HEAD and _is_passing(failure.status)
        case (
            Kind.CONNECT
            | Kind.TLS
            | Kind.TIMEOUT_CONNECT
            | Kind.TIMEOUT_FIRST_BYTE
            | Kind.TIMEOUT_IDLE
            | Kind.TIMEOUT_TOTAL
            | Kind.BROKEN
            | Kind.PROTOCOL
            | Kind.TRUNCATED
        ):
            return failure.sent is Sent.NOTHING
        case Kind.TOO_LARGE | Kind.ABORTED | Kind.INTERNAL | Kind.JOURNAL:
            return False
    assert_never(failure.kind)


def status_of(failure: Failure) -> int:
    """The status the caller reads; 499 for a caller that has vanished."""
    match failure.source:
        case Source.CLIENT:
            return _status_of_client(failure.kind)
        case Source.UPSTREAM | Source.PROXY:
            return _status_of_upstream(failure)
    assert_never(failure.source)


def _status_of_client(kind: Kind) -> int:
    match kind:
        case Kind.TIMEOUT_CONNECT | Kind.TIMEOUT_FIRST_BYTE | Kind.TIMEOUT_IDLE | Kind.TIMEOUT_TOTAL:
            return 408
        case Kind.CONNECT | Kind.BROKEN | Kind.TRUNCATED | Kind.ABORTED:
            return VANISHED
        case Kind.TOO_LARGE:
            return 413
        case Kind.TLS | Kind.PROTOCOL | Kind.STATUS | Kind.STREAM_ERROR | Kind.INTERNAL | Kind.JOURNAL:
            return 400
    assert_never(kind)


def _status_of_upstream(failure: Failure) -> int:
    match failure.kind:
        case Kind.STATUS | Kind.STREAM_ERROR:
            return _STATUS_OF_ANSWER.get(failure.status, 502)
        case Kind.TIMEOUT_CONNECT | Kind.TIMEOUT_FIRST_BYTE | Kind.TIMEOUT_IDLE | Kind.TIMEOUT_TOTAL:
            return 504
        case Kind.CONNECT | Kind.TLS | Kind.BROKEN | Kind.PROTOCOL | Kind.TRUNCATED | Kind.TOO_LARGE:
            return 502
        case Kind.ABORTED | Kind.JOURNAL:
            return 503
        case Kind.INTERNAL:
            return 500
    assert_never(failure.kind)


def describe(failure: Failure, provider_name: str) -> tuple[str, str, str]:
    """(message, type, code) for the caller. Never says anything about our key, our account or our network."""
    message, code = _message(failure, provider_name)
    return message, type_of(status_of(failure)), code


def param_of(failure: Failure) -> str | None:
    """The member of the request that the provider complains about, where the caller is told of complaints."""
    is_answer = failure.kind in (Kind.STATUS, Kind.STREAM_ERROR)
    return failure.param if is_answer and status_of(failure) in _BLAMES_REQUEST else None


def _message(failure: Failure, name: str) -> tuple[str, str]:
    if failure.source is Source.CLIENT:
        return _message_to_client(failure.kind)
    match failure.kind:
        case Kind.STATUS | Kind.STREAM_ERROR:
            return _message_of_answer(failure, name)
        case Kind.CONNECT:
            return f"could not connect to {name}", "provider_unreachable"
        case Kind.TLS:
            return f"could not make a verified TLS connection to {name}", "provider_unreachable"
        case Kind.TIMEOUT_CONNECT:
            return f"{name} did not accept a connection in time", "provider_timeout"
        case Kind.TIMEOUT_FIRST_BYTE:
            return f"{name} did not begin to answer in time", "provider_timeout"
        case Kind.TIMEOUT_IDLE:
            return f"{name} stopped sending in the middle of its answer", "provider_timeout"
        case Kind.TIMEOUT_TOTAL:
            return f"{name} did not finish its answer in time", "provider_timeout"
        case Kind.BROKEN:
            return f"the connection to {name} broke before its answer was complete", "provider_disconnected"
        case Kind.PROTOCOL:
            return f"{name} answered with something that is not the protocol it promised", "provider_invalid_response"
        case Kind.TRUNCATED:
            return f"{name} ended its answer without a finish_reason", "provider_truncated"
        case Kind.TOO_LARGE:
            return f"the answer of {name} is larger than this proxy accepts", "provider_response_too_large"
        case Kind.ABORTED:
            return "the request was given up because the proxy is stopping; try again", "aborted"
        case Kind.INTERNAL:
            return "the proxy failed while serving this request", "internal_error"
        case Kind.JOURNAL:
            return "this edge cannot write its journal; nothing was charged, try again", "journal_unavailable"
    assert_never(failure.kind)


def _message_to_client(kind: Kind) -> tuple[str, str]:
    match _status_of_client(kind):
        case 408:
            return "the request did not arrive in time", "request_timeout"
        case 413:
            return "the request is larger than this proxy accepts", "request_too_large"
        case 499:
            return "the caller closed the connection", "client_disconnected"
        case _:
            return "the request is not valid HTTP", "bad_request"


def _message_of_answer(failure: Failure, name: str) -> tuple[str, str]:
    """What the caller is told of an error the provider itself reported."""
    status = status_of(failure)
    if status in _BLAMES_REQUEST:
        message = failure.detail or f"{name} refused the request with status {failure.status}"
        return message, failure.code or "provider_refused_request"
    if failure.status in _OUR_KEY:
        return f"{name} did not accept this proxy's own credentials; its operator has to mend that", "provider_auth"
    if status == 429:
        wait = f"; try again in {failure.retry_after_s:g} s" if failure.retry_after_s else ""
        return f"{name} is limiting the rate of this proxy's requests{wait}", "provider_rate_limited"
    if status == 503:
        return f"{name} is overloaded or unavailable", "provider_overloaded"
    if status == 504:
        return f"{name} timed out", "provider_timeout"
    told = f" with status {failure.status}" if failure.kind is Kind.STATUS else " in the middle of its answer"
    return f"{name} failed{told}", "provider_error"
