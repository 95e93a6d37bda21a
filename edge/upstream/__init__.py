"""What the relay may ask of a provider's side of the wire: one exchange of request and response, whoever carries it.

Rule: `open` writes a request exactly once. Nothing here replays one: whether that is safe, `routing.failures.failover` says.
Strategy: two implementations pass one contract suite: `pool.NativeUpstream` (asyncio and httptools, the fast one) and
`httpx_transport.HttpxUpstream` (for HTTP/2 and outbound proxies). Only the connect clock lives here; first-byte, idle and total
clocks are the relay's, which pokes or aborts.
Limits: request bodies have a known length and are in memory; responses are streamed. A response is undone by nothing: unexpected
`content-encoding`, odd statuses and redirects are passed on as they came.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from edge.write_batch import WriteBatch

Header = tuple[bytes, bytes]


class Target(msgspec.Struct, frozen=True, cache_hash=True):
    """Where connections go and how they are made; equal targets share connections.

    `keepalive_s` bounds how long a connection may idle before it is closed rather than used; keep it below the provider's own.
    `verify=False` accepts any certificate and is for test rigs. `ca_file` (PEM) replaces the system's authorities.
    `proxy` (a URL) and `http2` need the httpx transport.
    """

    scheme: str
    host: str
    port: int
    connect_timeout_s: float = 5.0
    keepalive_s: float = 30.0
    verify: bool = True
    ca_file: str | None = None
    proxy: str | None = None
    http2: bool = False
    ca_version: str = ""
    """What `ca_file` holds: with other certificates it is another target, whose connections are new ones."""


class PoolStats(msgspec.Struct, frozen=True):
    """Connections now (`idle` are among `open`), and since the start: dialled, and requests that found one idle."""

    open: int
    idle: int
    opened_total: int
    reused_total: int


class Exchange(Protocol):
    """One request on one connection, and its response. One reader at a time."""

    status: int
    headers: list[Header]
    """Names lower-cased, in the order they came."""
    fields: dict[bytes, bytes]
    """The headers by name; of one that stands more than once the last value. All three are valid once `head` has said True."""
    sink: Callable[[bytes], bool] | None
    """Offered what comes while `read` waits, from inside the transport's callback, except a response's last bytes. True: taken,
    and `read` waits on. False: `read` returns it. A transport may ignore it. It must not raise, and may poke."""

    @property
    def is_whole(self) -> bool:
        """Whether the response has come to its clean end; what of it was not read yet can still be."""

    async def head(self) -> bool:
        """True when the final (not 1xx) response head is in, False when poked before. AttemptFailed."""

    async def read(self) -> bytes | None:
        """The next body bytes as they came in, `b""` at a clean end, None when poked. AttemptFailed.

        What had arrived before a failure is delivered before the failure is raised. Cancelling a pending `head` or `read` closes
        the connection, as `abort` does.
        """

    def poke(self) -> None:
        """Wake a pending `head` or `read`; forgotten when nothing waits. Nothing is lost: the next call goes on."""

    def abort(self) -> None:
        """Close the connection now. Idempotent; after a clean end a no-op, the connection being back in the pool by itself."""


class Upstream(Protocol):
    @property
    def write_batch(self) -> WriteBatch | None:
        """Requests are written through it; None: at once. Whoever opens asks first (`edge.write_batch.LineOrder`)."""

    async def open(self, target: Target, head: bytes, body: Sequence[bytes | memoryview]) -> Exchange:
        """Connect or take an idle connection, and write the request; returns when all of it is on its way (or in the turn).

        `head` is the complete request head with its blank line, `content-length` included; `body` the parts of the body. Returns
        early when the provider answers before it has read everything. AttemptFailed, with `Sent.NOTHING` only if not one
        byte of the request was written.
        """

    async def aclose(self) -> None:
        """Close every connection; exchanges under way fail as aborted."""

    def stats(self) -> PoolStats: ...
