"""How a record names the failure that ended its answer."""

from typing import assert_never

from routing.failures.failure import Failure, Kind, Sent, Source
from usage.record import EndReason


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
