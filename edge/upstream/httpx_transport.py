"""The same exchanges on httpx: for HTTP/2 and outbound proxies, and as the oracle beside the native transport in tests.

Rule: import this module only when a provider asks for it; httpx and what it brings cost an edge about 20 MB.
Strategy: httpx's transport rather than its client: no cookies, redirects, decoding or environment. One task per exchange pulls
the response into the inbox, since httpx can only be waited for, not poked. Byte iterators never get a chunk size: it withholds
events.
Limits: some 3 ms a request. Over HTTP/1.1 an answer that comes before the whole body was read is lost when the provider closes:
httpcore does not read while it writes. Two faults of httpcore 1.0 are made good here: bytes after a response would be taken for
the next one, and a TLS handshake that is cancelled leaks its socket, so it is left to end by itself.
"""

import asyncio
import ssl
import weakref
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx

from edge.tasks import Tasks
from edge.upstream import Header, PoolStats, Target
from edge.upstream.exchange import HEAD_BYTES_MAX, HEADERS_MAX, UNREAD_BYTES_MAX
from edge.upstream.response_buffer import ResponseBuffer
from edge.upstream.tls import build_context
from edge.upstream.wire import pieces
from edge.write_batch import WriteBatch
from routing.failures.failure import AttemptFailed, Kind, Sent, Source
from routing.wire.quiet import is_too_fine

WRITE_STALL_S = 30.0
BREATH_PIECES = 64

FAULTS: dict[type[Exception], Kind] = {
    httpx.ConnectTimeout: Kind.TIMEOUT_CONNECT,
    httpx.PoolTimeout: Kind.TIMEOUT_CONNECT,
    httpx.ReadTimeout: Kind.TIMEOUT_IDLE,
    httpx.WriteTimeout: Kind.TIMEOUT_IDLE,
    httpx.TimeoutException: Kind.TIMEOUT_IDLE,
    httpx.ConnectError: Kind.CONNECT,
    httpx.ProxyError: Kind.CONNECT,
    httpx.ReadError: Kind.BROKEN,
    httpx.WriteError: Kind.BROKEN,
    httpx.CloseError: Kind.BROKEN,
    httpx.NetworkError: Kind.BROKEN,
    httpx.RemoteProtocolError: Kind.PROTOCOL,
    httpx.ProtocolError: Kind.PROTOCOL,
    httpx.DecodingError: Kind.PROTOCOL,
    httpx.TooManyRedirects: Kind.PROTOCOL,
    httpx.HTTPStatusError: Kind.STATUS,
    httpx.LocalProtocolError: Kind.INTERNAL,
    httpx.UnsupportedProtocol: Kind.INTERNAL,
    httpx.TransportError: Kind.INTERNAL,
    httpx.RequestError: Kind.INTERNAL,
    httpx.HTTPError: Kind.INTERNAL,
    httpx.InvalidURL: Kind.INTERNAL,
    httpx.CookieConflict: Kind.INTERNAL,
    httpx.StreamConsumed: Kind.INTERNAL,
    httpx.StreamClosed: Kind.INTERNAL,
    httpx.ResponseNotRead: Kind.INTERNAL,
    httpx.RequestNotRead: Kind.INTERNAL,
    httpx.StreamError: Kind.INTERNAL,
}
FOREIGN = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)
_SAYS_BROKEN = ("disconnected", "peer closed connection", "terminated")
"""httpcore reports an early end of file as a breach of protocol; only its text tells it from a garbled response."""


def explain(error: Exception) -> Kind:
    """The failure kind of an exception of httpx."""
    kind = FAULTS[next(base for base in type(error).__mro__ if base in FAULTS)]
    if kind is Kind.CONNECT and isinstance(_root(error), ssl.SSLError):
        return Kind.TLS
    if kind is Kind.PROTOCOL and any(words in str(error) for words in _SAYS_BROKEN):
        return Kind.BROKEN
    return kind


def _root(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


class RequestBody(httpx.AsyncByteStream):
    def __init__(self, body: Sequence[bytes | memoryview]) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in pieces(self._body):
            yield bytes(piece)


class HttpxExchange(ResponseBuffer, kw_only=True):
    """An exchange whose response a task pulls in."""

    on_written: asyncio.Future[None]
    is_dialled: bool = False
    sent: Sent = Sent.NOTHING
    _is_shaking_hands: bool = False
    _is_tunnelling: bool = False
    _pieces: int = 0
    _size: int = 0
    _room: asyncio.Future[None] | None = None
    _task: asyncio.Task[Any] | None = None

    def start(self, tasks: Tasks, transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> None:
        request.extensions["trace"] = self._trace
        self._task = tasks.spawn("httpx exchange", self._run(transport, request))

    async def _trace(self, event: str, info: dict[str, Any]) -> None:
        """httpcore's progress. A tunnel's CONNECT reports itself too, and is not our request."""
        step = event.partition(".")[2]
        if (request := info.get("request")) is not None:
            self._is_tunnelling = request.method == b"CONNECT"
        if step == "connect_tcp.complete":
            self.is_dialled = True
        elif step.startswith("start_tls."):
            self._is_shaking_hands = step == "start_tls.started"
        elif self._is_tunnelling:
            return
        elif step == "send_request_headers.started":
            if self.failure is not None:
                raise asyncio.CancelledError
            self.sent = Sent.REQUEST
        elif step in ("send_request_body.complete", "send_request_body.failed"):
            self._written()

    def _written(self) -> None:
        if not self.on_written.done():
            self.on_written.set_result(None)

    async def _run(self, transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> None:
        try:
            await self._pull(transport, request)
        except asyncio.CancelledError:
            self._task = None
            self.fail(Kind.ABORTED, Source.PROXY, "given up", self.sent)
            raise
        except FOREIGN as error:
            self._task = None
            self.fail(explain(error), Source.UPSTREAM, str(error) or type(error).__name__, self.sent)
        except _UnacceptableResponse as error:
            self._task = None
            self.fail(Kind.PROTOCOL, Source.UPSTREAM, str(error), self.sent)
        else:
            self.is_whole = True
        finally:
            self._written()
            self.wake(True)

    async def _pull(self, transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> None:
        response = await transport.handle_async_request(request)
        stream = response.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        try:
            headers = [(name.lower(), value) for name, value in response.headers.raw]
            _check(headers)
            self.status = response.status_code
            self.headers, self.fields = headers, dict(headers)
            self.has_head = True
            self.wake(True)
            async for chunk in stream:
                if chunk:
                    await self._put(chunk)
            await _discard_surplus(stream)
        finally:
            await stream.aclose()

    async def _put(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
        self.unread_bytes += len(chunk)
        self._pieces += 1
        self._size += len(chunk)
        if is_too_fine(self._pieces, self._size):
            raise _UnacceptableResponse(f"{self._size} bytes of body in {self._pieces} pieces")
        self.wake(True)
        if self._pieces % BREATH_PIECES == 0:
            await asyncio.sleep(0)  # what httpcore has read already it gives without ever waiting
        if self.unread_bytes > UNREAD_BYTES_MAX:
            self._room = asyncio.get_running_loop().create_future()
            self.is_paused = True
            await self._room

    def resume(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def drop(self) -> None:
        if self._task is not None and not self._is_shaking_hands:
            self._task.cancel()


class HttpxUpstream:
    """`edge.upstream.Upstream` on httpx."""

    write_batch: WriteBatch | None = None

    def __init__(self) -> None:
        self._exchanges: weakref.WeakSet[HttpxExchange] = weakref.WeakSet()
        self._tasks = Tasks()
        self._transports: dict[Target, httpx.AsyncHTTPTransport] = {}
        self._opened_total = 0
        self._reused_total = 0

    def __repr__(self) -> str:
        stats = self.stats()
        return f"<HttpxUpstream {stats.open} open, {stats.idle} idle>"

    async def open(self, target: Target, head: bytes, body: Sequence[bytes | memoryview]) -> HttpxExchange:
        transport = self._transports.get(target)
        if transport is None:
            transport = self._transports[target] = _build_transport(target)
        loop = asyncio.get_running_loop()
        exchange = HttpxExchange(loop, on_written=loop.create_future())
        self._exchanges.add(exchange)
        exchange.start(self._tasks, transport, _build_request(target, head, body))
        try:
            await exchange.on_written
        except asyncio.CancelledError:
            exchange.abort()
            raise
        self._opened_total += exchange.is_dialled
        self._reused_total += not exchange.is_dialled
        if exchange.failure is not None and exchange.failure.sent is Sent.NOTHING:
            raise AttemptFailed(exchange.failure)
        return exchange

    async def aclose(self) -> None:
        for exchange in tuple(self._exchanges):
            exchange.abort()
        await self._tasks.drain(max((target.connect_timeout_s for target in self._transports), default=0.0) + 1.0)
        for transport in self._transports.values():
            await transport.aclose()

    def stats(self) -> PoolStats:
        connections = [c for transport in self._transports.values() for c in transport._pool.connections]
        is_open = [c for c in connections if not c.is_closed()]
        return PoolStats(len(is_open), sum(c.is_idle() for c in is_open), self._opened_total, self._reused_total)


def _build_transport(target: Target) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(
        verify=build_context(target.verify, target.ca_file),
        trust_env=False,
        http2=target.http2,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=target.keepalive_s),
        proxy=httpx.Proxy(target.proxy) if target.proxy else None,
    )


def _build_request(target: Target, head: bytes, body: Sequence[bytes | memoryview]) -> httpx.Request:
    """The request as httpx wants it. Built with a stream of ours, it adds no header of its own.

    Not with httpx's `target` extension: httpcore would use it for a tunnel's CONNECT as well.
    """
    line, *fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, path, _ = line.split(b" ")
    headers = [(name, value.strip()) for name, _, value in (field.partition(b":") for field in fields)]
    host = f"[{target.host}]" if ":" in target.host else target.host
    return httpx.Request(
        method.decode("ascii"),
        httpx.URL(f"{target.scheme}://{host}:{target.port}", raw_path=path),
        headers=headers,
        stream=RequestBody(body),
        extensions={
            "timeout": {"connect": target.connect_timeout_s, "write": WRITE_STALL_S},
            "sni_hostname": target.host,
        },
    )


def _check(headers: list[Header]) -> None:
    """What h11 lets pass and the native transport does not."""
    if len(headers) > HEADERS_MAX or sum(len(name) + len(value) + 4 for name, value in headers) > HEAD_BYTES_MAX:
        raise _UnacceptableResponse("head too large")
    if {name for name, _ in headers} >= {b"content-length", b"transfer-encoding"}:
        raise _UnacceptableResponse("both content-length and transfer-encoding")


async def _discard_surplus(stream: Any) -> None:
    """Close an HTTP/1.1 connection on which something followed the response; its state is nowhere public."""
    connection = stream._httpcore_stream._stream._connection
    state = getattr(connection, "_h11_state", None)
    if state is not None and state.trailing_data[0]:
        await connection.aclose()


class _UnacceptableResponse(Exception):
    """Well-formed to h11, and still not what we take for a response."""
