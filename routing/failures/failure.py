"""A failed attempt: what happened, whose doing it was, how far things had gone; and what follows from that.

Rule: each mapping is one match over `Kind` or `Cause` that ends in `assert_never`, so a new one cannot be forgotten. What may
follow a failure is decided in `routing.failures.failover`.
Rule: the provider's own words reach the caller only where the request is at fault; they say nothing about our account there.
Limits: statuses are those of the OpenAI error vocabulary; whatever else a provider answers is mapped onto them.
"""

import enum
from typing import Final, assert_never

import msgspec

from routing.failures.cause import ABOUT_ACCOUNT, ABOUT_REQUEST, Cause, cause_of_status
from routing.failures.redaction import redacted
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

    `detail`, `code` and `param` are the provider's own words, raw: for the caller only where the request is at fault, and only
    through `describe` and `param_of`. `told_cause` is what the body says (`routing.failures.provider_error`), None: the status
    must do.
    """

    kind: Kind
    source: Source
    sent: Sent
    status: int = 0
    retry_after_s: float | None = None
    detail: str = ""
    code: str = ""
    param: str | None = None
    told_cause: Cause | None = None
    is_abandoned: bool = False
    """We left it, and pay for what it bills (a route's `abandoned`)."""

    @property
    def is_answer(self) -> bool:
        """Whether the provider itself reported it."""
        return self.kind in (Kind.STATUS, Kind.STREAM_ERROR)

    @property
    def cause(self) -> Cause:
        """Why the provider said no. Only of a failure that `is_answer`."""
        return self.told_cause or cause_of_status(self.status)

    @property
    def reason(self) -> str:
        """One word for records and logs: why the provider said no, else what happened."""
        return self.cause.value if self.is_answer else self.kind.value


class AttemptFailed(Exception):
    """An attempt came to nothing, or an answer broke: the one exception that carries a Failure, wherever it was found out."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


VANISHED: Final = 499
"""Our records' status of a caller that left before the answer; nobody reads it."""


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
            return _status_of_cause(failure.cause, failure.status)
        case Kind.TIMEOUT_CONNECT | Kind.TIMEOUT_FIRST_BYTE | Kind.TIMEOUT_IDLE | Kind.TIMEOUT_TOTAL:
            return 504
        case Kind.CONNECT | Kind.TLS | Kind.BROKEN | Kind.PROTOCOL | Kind.TRUNCATED | Kind.TOO_LARGE:
            return 502
        case Kind.ABORTED | Kind.JOURNAL:
            return 503
        case Kind.INTERNAL:
            return 500
    assert_never(failure.kind)


def _status_of_cause(cause: Cause, status: int) -> int:
    match cause:
        case Cause.CREDENTIALS | Cause.EXHAUSTED | Cause.UNAFFORDABLE | Cause.FORBIDDEN | Cause.MODEL_GONE:
            return 502
        case Cause.UNAVAILABLE | Cause.UNEXPECTED:
            return 502
        case Cause.RATE_LIMITED:
            return 429
        case Cause.OVERLOADED:
            return 503
        case Cause.TIMED_OUT:
            return 504
        case Cause.MODEL_UNKNOWN:
            return 404
        case Cause.TOO_LARGE:
            return 413
        case Cause.MODERATED:
            return 403 if status in (403, 451) else 400
        case Cause.TOO_LONG | Cause.UNSUPPORTED | Cause.INVALID:
            return 400
    assert_never(cause)


def wait_of(failure: Failure) -> float | None:
    """Seconds after which the caller may try again: only where waiting mends, and the provider said so."""
    if failure.is_answer and failure.cause not in (Cause.RATE_LIMITED, Cause.OVERLOADED, Cause.UNAVAILABLE, Cause.TIMED_OUT):
        return None
    return failure.retry_after_s


def is_hopeless(failure: Failure) -> bool:
    """Whether the same request fails again until somebody mends this proxy's set-up. Callers are told not to try
    (`x-should-retry: false`): SDKs take any 5xx for an invitation."""
    if failure.source is Source.CLIENT:
        return False
    return failure.kind is Kind.TLS or (failure.is_answer and failure.cause in ABOUT_ACCOUNT | {Cause.MODEL_GONE})


def describe(failure: Failure, provider_name: str) -> tuple[str, str, str]:
    """(message, type, code) for the caller. Never says anything about our key, our account or our network."""
    message, code = _message(failure, provider_name)
    return message, type_of(status_of(failure)), code


def param_of(failure: Failure) -> str | None:
    """The member of the request that the provider complains about, where the caller is told of complaints."""
    is_told = failure.is_answer and failure.cause in ABOUT_REQUEST and failure.param is not None
    return redacted(failure.param or "") if is_told else None


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
    cause = failure.cause
    match cause:
        case Cause.MODEL_UNKNOWN | Cause.TOO_LONG | Cause.TOO_LARGE | Cause.UNSUPPORTED | Cause.MODERATED | Cause.INVALID:
            return _complaint(failure, name)
        case Cause.CREDENTIALS | Cause.EXHAUSTED | Cause.UNAFFORDABLE | Cause.FORBIDDEN:
            return f"{name} did not accept this proxy's own credentials; its operator has to mend that", "provider_auth"
        case Cause.MODEL_GONE:
            return (
                f"{name} does not serve this model any more; the operator of this proxy has to mend that",
                "provider_model_gone",
            )
        case Cause.RATE_LIMITED:
            wait = f"; try again in {failure.retry_after_s:g} s" if failure.retry_after_s else ""
            return f"{name} is limiting the rate of this proxy's requests{wait}", "provider_rate_limited"
        case Cause.OVERLOADED:
            return f"{name} is overloaded or unavailable", "provider_overloaded"
        case Cause.TIMED_OUT:
            return f"{name} timed out", "provider_timeout"
        case Cause.UNAVAILABLE | Cause.UNEXPECTED:
            told = f" with status {failure.status}" if failure.kind is Kind.STATUS else " in the middle of its answer"
            return f"{name} failed{told}", "provider_error"
    assert_never(cause)


_CODE_OF: Final = {Cause.TOO_LONG: "context_length_exceeded", Cause.MODERATED: "content_policy_violation"}
"""What clients look for, where the provider gives no code of its own."""


def _complaint(failure: Failure, name: str) -> tuple[str, str]:
    """The provider's own words about the request."""
    message = redacted(failure.detail) or f"{name} refused the request" + (
        f" with status {failure.status}" if failure.status else ""
    )
    code = redacted(failure.code)
    is_vague = not code or code.isdecimal() or code.endswith("_error") or code.isupper()
    if is_vague:
        code = _CODE_OF.get(failure.cause, code)
    return message, code or "provider_refused_request"
