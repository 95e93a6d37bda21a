"""Ports of 127.0.0.1 for the servers that tests start.

Rule: a port is told to a server before the server binds it, and in between nobody else takes it: not another test process that
runs beside this one, not a connection that goes out. So a test process owns a block of ports below those that the kernel gives
to whoever asks for any port.
Strategy: a listener on the first port of the block, open as long as this process, is what owns it. Ports are handed out in turn,
so that one is not used again soon.
Limits: where the kernel's own range leaves no room, a port is one that was free a moment ago.
"""

import itertools
import os
import random
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_LOWEST = 10_000
_BLOCK = 500
_WINDOW = 2_000
"""Blocks lie in the lower half of a window: an edge's admin port is by default 1,000 above its port."""
_KERNELS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_KERNELS_LOWEST = 32_768


def free_port() -> int:
    """A TCP port that nothing listens on now, and that nobody is given but who calls this here."""
    for port in itertools.islice(_own(os.getpid()), _BLOCK):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue  # a server that a test has started listens, or has just ended
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def _own(pid: int) -> Iterator[int]:
    """The ports of this process, over and over; none when each block has an owner. By `pid`: a fork owns no block yet."""
    highest = int(_KERNELS.read_text().split()[0]) if _KERNELS.exists() else _KERNELS_LOWEST
    starts = [at + half for at in range(_LOWEST, highest - _WINDOW, _WINDOW) for half in (0, _BLOCK)]
    for first in random.sample(starts, len(starts)):
        owner = socket.socket()
        try:
            owner.bind(("127.0.0.1", first))
            owner.listen(1)
        except OSError:
            owner.close()
            continue
        _owners.append(owner)
        return itertools.cycle(range(first + 1, first + _BLOCK))
    return iter(())


_owners: list[socket.socket] = []
