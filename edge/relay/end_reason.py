"""What ends a request from outside, what failure that is, and how a record names a failure that ended its answer."""

import enum
from typing import Final, assert_never

from routing.failures.failure import Failure, Kind, Sent, Source
from usage.record import EndReason


class CancelReason(enum.Enum):
    """What ended a request from outside."""

    CALLER_LEFT = "the caller closed the connection"
    BODY_TOO_SLOW = "the request's body did not arrive in time"
    READER_TOO_SLOW = "the caller stopped reading"
    FIRST_BYTE = "the provider did not begin to answer in time"
    FIRST_TOKEN = "another provider is asked, since the first token has not come"
    IDLE = "the provider sent nothing for too long"
    TOTAL = "the answer took too long as a whole"
    DRAINING = "this process leaves"


CALLER_GONE: Final = frozenset((CancelReason.CALLER_LEFT, CancelReason.READER_TOO_SLOW))
"""Nobody reads what would be answered."""


def failure_of(reason: CancelReason, sent: Sent) -> Failure:
    """The failure that a cancellation amounts to."""
    match reason:
        case CancelReason.CALLER_LEFT | CancelReason.READER_TOO_SLOW:
            return Failure(Kind.ABORTED, Source.CLIENT, sent)
        case CancelReason.BODY_TOO_SLOW:
            return Failure(Kind.TIMEOUT_TOTAL, Source.CLIENT, sent)
        case CancelReason.FIRST_BYTE:
            return Failure(Kind.TIMEOUT_FIRST_BYTE, Source.UPSTREAM, sent)
        case CancelReason.FIRST_TOKEN:
            return Failure(Kind.TIMEOUT_FIRST_BYTE, Source.UPSTREAM, sent, is_abandoned=True)
        case CancelReason.IDLE:
            return Failure(Kind.TIMEOUT_IDLE, Source.UPSTREAM, sent)
        case CancelReason.TOTAL:
            return Failure(Kind.TIMEOUT_TOTAL, Source.UPSTREAM, sent)
        case CancelReason.DRAINING:
            return Failure(Kind.ABORTED, Source.PROXY, sent)
    assert_never(reason)


def end_reason_of(failure: Failure) -> EndReason:
    """How the record names a failure."""
    match failure.kind:
        case Kind.TIMEOUT_CONNECT | Kind.TIMEOUT_FIRST_BYTE | Kind.TIMEOUT_IDLE | Kind.TIMEOUT_TOTAL:
            return "timeout"
        case Kind.TRUNCATED | Kind.BROKEN:
            return "truncated" if failure.sent is Sent.HEAD else "upstream_error"
        case Kind.ABORTED:
            return "cancelled" if failure.source is Source.CLIENT else "proxy_error"
        case Kind.INTERNAL | Kind.JOURNAL:
            return "proxy_error"
        case Kind.CONNECT | Kind.TLS | Kind.PROTOCOL | Kind.STATUS | Kind.STREAM_ERROR | Kind.TOO_LARGE:
            return "upstream_error"
    assert_never(failure.kind)
