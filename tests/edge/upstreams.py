"""What the tests of upstream transports share: requests, targets, reading to the end."""

import socket
from collections.abc import Sequence

from edge.upstream import Exchange, Target, Upstream
from routing.failures.failure import AttemptFailed, Failure
from tests.peers import Peer, ca_file

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


def target_of(peer: Peer, **changes: object) -> Target:
    return Target(**({"scheme": "http", "host": "127.0.0.1", "port": peer.port} | changes))  # type: ignore[arg-type]


def tls_target_of(peer: Peer, **changes: object) -> Target:
    return target_of(peer, **({"scheme": "https", "host": "localhost", "ca_file": ca_file()} | changes))


def head_for(body_bytes: int, path: bytes = b"/v1/chat/completions") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: peer\r\nX-Mixed-Case: 1\r\ncontent-length: %d\r\n\r\n" % (path, body_bytes)


async def ask(upstream: Upstream, target: Target, body: Sequence[bytes | memoryview] = (b"{}",)) -> Exchange:
    return await upstream.open(target, head_for(sum(map(len, body))), body)


async def read_all(exchange: Exchange) -> bytes:
    """The whole body of an exchange that nobody pokes."""
    assert await exchange.head()
    parts = []
    while chunk := await exchange.read():
        parts.append(chunk)
    assert chunk == b""
    return b"".join(parts)


async def fetch(upstream: Upstream, target: Target, body: Sequence[bytes | memoryview] = (b"{}",)) -> tuple[int, bytes]:
    exchange = await ask(upstream, target, body)
    received = await read_all(exchange)
    return exchange.status, received


async def read_until_failure(exchange: Exchange) -> tuple[bytes, Failure]:
    """What could be read of a body that fails, and the failure."""
    received = b""
    try:
        while chunk := await exchange.read():
            received += chunk
    except AttemptFailed as error:
        return received, error.failure
    raise AssertionError("the body ended cleanly")


class SilentPort:
    """A port whose queue of connections is full, so that further ones get no answer."""

    def __enter__(self) -> int:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self._fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self._listener.getsockname())
            self._fillers.append(filler)
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        for opened in (*self._fillers, self._listener):
            opened.close()
