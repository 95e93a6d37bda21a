"""Whether a caller has sent its last byte, and whether it has left altogether, as the kernel knows before the loop has told.

A caller's leaving is heard in `edge.downstream.connection`, which asks here where the loop could not have told.

Strategy: an end of file says only the first. An interim answer finds out the second: a kernel whose socket is closed refuses it.
Limits: the first is Linux's; elsewhere the end is seen when it is read. The second takes a round trip.
"""

import contextlib
import os
import select
import socket

from edge.downstream.request import CONTINUE
from edge.upstream.poller import Poller

HANG_UP: int = getattr(select, "POLLRDHUP", 0)


def has_eof(peer: socket.socket) -> bool:
    """Whether its end is there, behind what was read. Costs a system call."""
    return bool(HANG_UP) and Poller(peer.fileno(), HANG_UP).has_news()


def probe(peer: socket.socket) -> None:
    """Send an interim answer, now, on a connection on which nothing else waits to be sent."""
    with contextlib.suppress(OSError):
        os.write(peer.fileno(), CONTINUE)


def has_refused(peer: socket.socket) -> bool:
    """Whether what was sent was refused. Tells it once."""
    return peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
