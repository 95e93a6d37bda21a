"""Connections kept between requests: the native transport.

Rule: an idle connection is used only while there is no reason to doubt it: no byte and no end of file has come, it has
idled for less than its limit (`keepalive_s`, or a second less than the provider's own `keep-alive: timeout`), and it is
younger than `AGE_S_MAX`, so that changes of address are followed. The one used last is used next; the others grow old and go.
Strategy: one sweep for the whole pool, only while connections idle or large bodies are being written; nothing per connection
or request.
Limits: connections are not counted against a maximum. There are as many as requests in flight, which the server in front
bounds; a queue here would be a second, invisible wait. At most `IDLE_MAX` per target stay idle. A provider that takes no byte
of a large body for `WRITE_STALL_S` is given up.
"""

import asyncio
from collections.abc import Sequence

from edge.upstream import PoolStats, Target
from edge.upstream.dial import dial
from edge.upstream.exchange import WireExchange
from edge.upstream.wire import UpstreamConnection
from edge.write_batch import WriteBatch
from routing.failures.failure import AttemptFailed, Failure, Kind, Sent, Source

AGE_S_MAX = 300.0
IDLE_MAX = 512
SMALL_BYTES = 65_536
SWEEP_S = 2.0
WRITE_STALL_S = 30.0


class HostPool:
    """The idle connections to one target, the one used last at the end."""

    __slots__ = ("idle", "pool", "target", "write_batch")

    def __init__(self, pool: "NativeUpstream", target: Target) -> None:
        self.pool = pool
        self.target = target
        self.write_batch = pool.write_batch
        self.idle: list[UpstreamConnection] = []

    def park(self, connection: UpstreamConnection) -> None:
        pool = self.pool
        now_s = pool.loop.time()
        if pool.is_closed or now_s - connection.born_s > AGE_S_MAX or len(self.idle) >= IDLE_MAX:
            connection.close()
            return
        connection.idle_since_s = now_s
        self.idle.append(connection)
        if pool.sweeper is None:
            pool.sweep_later()

    def forget(self, connection: UpstreamConnection) -> None:
        self.pool.connections.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        self.pool.note_loss()

    def take(self) -> UpstreamConnection | None:
        """An idle connection that is still good."""
        now_s = self.pool.loop.time()
        while self.idle:
            connection = self.idle.pop()
            idle_s = now_s - connection.idle_since_s
            if idle_s <= connection.idle_limit_s and not connection.is_lost and not connection.poller.has_news():
                return connection
            connection.close()
        return None

    def sweep(self, now_s: float) -> None:
        expired = [c for c in self.idle if now_s - c.idle_since_s > c.idle_limit_s or now_s - c.born_s > AGE_S_MAX]
        for connection in expired:
            self.idle.remove(connection)
            connection.close()


class NativeUpstream:
    """`edge.upstream.Upstream` on asyncio and httptools. Belongs to the loop that first opens an exchange."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, write_batch: WriteBatch | None = None) -> None:
        self.write_batch = write_batch or WriteBatch()
        self.connections: set[UpstreamConnection] = set()
        self.is_closed = False
        self.sweeper: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None
        self._opened_total = 0
        self._reused_total = 0
        self._host_pools: dict[Target, HostPool] = {}

    def __repr__(self) -> str:
        stats = self.stats()
        return f"<NativeUpstream {stats.open} open, {stats.idle} idle>"

    async def open(self, target: Target, head: bytes, body: Sequence[bytes | memoryview]) -> WireExchange:
        host_pool = self._host_pools.get(target)
        if host_pool is None:
            host_pool = self._add_host_pool(target)
        connection = host_pool.take()
        if connection is None:
            connection = await self._dial(host_pool)
        else:
            self._reused_total += 1
        if sum(map(len, body)) <= SMALL_BYTES:
            return connection.start(head, body)
        if self.sweeper is None:
            self.sweep_later()
        return await connection.start_large(head, body)

    async def aclose(self) -> None:
        self.is_closed = True
        if self.sweeper is not None:
            self.sweeper.cancel()
            self.sweeper = None
        if self.connections:
            self._emptied = self.loop.create_future()
            for connection in tuple(self.connections):
                connection.give_up()
            await self._emptied

    def stats(self) -> PoolStats:
        idle = sum(len(host_pool.idle) for host_pool in self._host_pools.values())
        return PoolStats(len(self.connections), idle, self._opened_total, self._reused_total)

    def note_loss(self) -> None:
        if self._emptied is not None and not self.connections and not self._emptied.done():
            self._emptied.set_result(None)

    def sweep_later(self) -> None:
        self.sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    def _add_host_pool(self, target: Target) -> HostPool:
        assert not target.http2, "the httpx transport does that"
        assert target.proxy is None, "the httpx transport does that"
        if not self._host_pools:
            self.loop = asyncio.get_running_loop()
        host_pool = self._host_pools[target] = HostPool(self, target)
        return host_pool

    async def _dial(self, host_pool: HostPool) -> UpstreamConnection:
        if self.is_closed:
            raise AttemptFailed(Failure(Kind.ABORTED, Source.PROXY, Sent.NOTHING, detail="shutting down"))
        connection = UpstreamConnection(host_pool, self.loop, host_pool.target.keepalive_s)
        await dial(self.loop, connection, host_pool.target)
        if self.is_closed or connection.is_lost:
            connection.close()
            raise AttemptFailed(Failure(Kind.CONNECT, Source.UPSTREAM, Sent.NOTHING, detail="closed before it was used"))
        self.connections.add(connection)
        self._opened_total += 1
        return connection

    def _sweep(self) -> None:
        self.sweeper = None
        now_s = self.loop.time()
        for host_pool in self._host_pools.values():
            host_pool.sweep(now_s)
        writing = [connection for connection in self.connections if connection.is_writing]
        for connection in writing:
            if now_s - connection.wrote_s > WRITE_STALL_S:
                connection.stall()
        if writing or any(host_pool.idle for host_pool in self._host_pools.values()):
            self.sweep_later()
