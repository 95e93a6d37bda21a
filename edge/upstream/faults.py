"""What a foreign exception means here: the one table from the exceptions of sockets, TLS and time-outs to failure kinds.

Rule: the first row whose type fits decides, so narrow types stand before wide ones.
"""

import ssl

from routing.failures.failure import Failure, Kind, Sent, Source

DIAL_FAULTS: tuple[tuple[type[BaseException], Kind], ...] = (
    (ssl.SSLError, Kind.TLS),
    (ssl.CertificateError, Kind.TLS),
    (TimeoutError, Kind.TIMEOUT_CONNECT),
    (OSError, Kind.CONNECT),  # refused, unreachable, reset in the handshake, no such name, no descriptors left
    (UnicodeError, Kind.CONNECT),  # a host name that IDNA cannot express
)
DIAL_EXCEPTIONS = tuple(exception for exception, _ in DIAL_FAULTS)


def explain_dial(error: BaseException) -> Failure:
    """The failure of a connection that was never made: nothing of the request was sent."""
    for exception, kind in DIAL_FAULTS:
        if isinstance(error, exception):
            detail = str(error) or type(error).__name__
            return Failure(kind, Source.UPSTREAM, Sent.NOTHING, detail=detail)
    raise error
