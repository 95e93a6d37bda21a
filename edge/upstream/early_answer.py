"""Reading what a provider still said when it closed while we wrote: a refusal that came before the whole body was read.

Rule: whoever keeps one closes it, or the provider never sees our side close.
Strategy: a failed write makes asyncio close the socket at once, unread bytes and all; Linux would still give them out. A
duplicate of the descriptor keeps the socket alive until they are read. Under TLS they go through the connection's own TLS object.
Limits: only for large bodies: small ones are written before an answer can come. At most `BYTES_MAX` are read.
"""

import os
import socket
import ssl
from asyncio import BaseTransport
from collections.abc import Iterator

from edge.upstream.tls import ReachableObject

BYTES_MAX = 131_072
_READ_BYTES = 16_384


class EarlyAnswer:
    """A second descriptor of a connection's socket."""

    def __init__(self, transport: BaseTransport) -> None:
        self._tls: ReachableObject | None = transport.get_extra_info("ssl_object")
        self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))

    def close(self) -> None:
        self._socket.close()

    def remains(self) -> Iterator[bytes]:
        """What had arrived and was not read, decrypted. To be called when the connection is lost."""
        if self._tls is not None:
            yield from _decrypted(self._tls)
        read_bytes = 0
        while read_bytes < BYTES_MAX:
            try:
                data = self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except OSError:
                return
            if not data:
                return
            read_bytes += len(data)
            if self._tls is None:
                yield data
            else:
                self._tls.incoming.write(data)
                yield from _decrypted(self._tls)


def _decrypted(tls: ssl.SSLObject) -> Iterator[bytes]:
    try:
        while data := tls.read(_READ_BYTES):
            yield data
    except ssl.SSLError:
        return
