"""Making a connection: addresses, TCP, TLS, within one time limit.

Strategy: the addresses of a name are raced a quarter of a second apart, families in turn (RFC 8305), on any loop: uvloop's own
`create_connection` tries them one by one, so that a dead first address would cost the whole time limit.
Limits: names are looked up for every new connection, by the system's resolver and its cache, in the loop's thread pool.
"""

import asyncio
import socket
import ssl
from asyncio.staggered import staggered_race
from functools import partial
from itertools import chain, groupby, zip_longest
from typing import Any

from edge.upstream import Target
from edge.upstream.faults import DIAL_EXCEPTIONS, explain_dial
from edge.upstream.tls import shared_context
from edge.upstream.wire import UpstreamConnection
from routing.failures.failure import AttemptFailed

STAGGER_S = 0.25
AddressInfo = tuple[Any, Any, int, str, Any]


async def dial(loop: asyncio.AbstractEventLoop, connection: UpstreamConnection, target: Target) -> None:
    """Connect `connection` to the target, or raise AttemptFailed with nothing sent."""
    try:
        context = shared_context(target.verify, target.ca_file, target.ca_version) if target.scheme == "https" else None
        async with asyncio.timeout(target.connect_timeout_s):
            addresses = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            winner = await race(loop, addresses)
            try:
                await loop.create_connection(
                    lambda: connection, sock=winner, ssl=context, server_hostname=target.host if context else None
                )
            except BaseException:
                winner.close()
                raise
    except DIAL_EXCEPTIONS as error:
        raise AttemptFailed(explain_dial(error)) from error
    tls: ssl.SSLObject | None = connection.transport.get_extra_info("ssl_object")
    if tls is not None and context is not None:
        connection.on_first_release = partial(context.remember, target.host, tls)


async def race(loop: asyncio.AbstractEventLoop, addresses: list[AddressInfo]) -> socket.socket:
    """A socket connected to the first address that answers. Raises what the first address raised when none does."""
    sockets: list[socket.socket] = []
    winner: socket.socket | None = None
    try:
        starts = [partial(_connect, loop, sockets, address) for address in take_turns(addresses)]
        winner, _, errors = await staggered_race(starts, STAGGER_S)
        if winner is None:
            raise next(error for error in errors if error is not None)
        return winner
    finally:
        for loser in sockets:
            if loser is not winner:
                loser.close()


def take_turns(addresses: list[AddressInfo]) -> list[AddressInfo]:
    """IPv6 and IPv4 by turns, beginning with the family that the resolver put first."""
    families = [list(group) for _, group in groupby(sorted(addresses, key=lambda a: a[0] != addresses[0][0]), lambda a: a[0])]
    return [address for address in chain(*zip_longest(*families)) if address is not None]


async def _connect(loop: asyncio.AbstractEventLoop, sockets: list[socket.socket], info: AddressInfo) -> socket.socket:
    family, kind, protocol, _, address = info
    opened = socket.socket(family, kind, protocol)
    sockets.append(opened)
    opened.setblocking(False)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await loop.sock_connect(opened, address)
    return opened
