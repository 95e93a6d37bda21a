"""Making a connection: addresses, TCP, TLS, within one time limit.

Strategy: when a name has several addresses they are raced a quarter of a second apart (RFC 8305), on any loop: uvloop's own
`create_connection` tries them one by one, so that a dead first address would cost the whole time limit.
"""

import asyncio
import ssl

from edge.upstream import Target, UpstreamError
from edge.upstream.faults import DIAL_EXCEPTIONS, explain_dial
from edge.upstream.tls import shared_context
from edge.upstream.wire import Connection


async def dial(loop: asyncio.AbstractEventLoop, connection: Connection, target: Target) -> None:
    """Connect `connection` to the target, or raise UpstreamError with nothing sent."""
    try:
        context = shared_context(target.verify, target.ca_file) if target.scheme == "https" else None
        async with asyncio.timeout(target.connect_timeout_s):
            await loop.create_connection(
                lambda: connection,
                target.host,
                target.port,
                ssl=context,
                server_hostname=target.host if context else None,
            )
    except DIAL_EXCEPTIONS as error:
        raise UpstreamError(explain_dial(error)) from error
    tls: ssl.SSLObject | None = connection.transport.get_extra_info("ssl_object")
    if tls is not None and context is not None:
        connection.on_first_release = lambda: context.remember(target.host, tls)
