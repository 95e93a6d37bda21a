"""Scripted peers: a server on loopback that plays what a test wrote, byte for byte, plain or TLS.

A script is a coroutine over the `Line` of one accepted connection. It reads whole requests, writes bytes in the pieces the test
wants, waits for the test's events, closes or resets:

    async def script(line: Line) -> None:
        while await line.request():
            await line.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nhi", cut_bytes=1)

    async with Peer(script) as peer:
        ... "127.0.0.1", peer.port, peer.lines ...

Leaving the block ends scripts that still run, and raises the first exception that one of them raised. `answering(b"...")` is the
script that gives every request the same bytes. With `tls=server_context("localhost")` the peer speaks TLS; `ca_file()` is the
authority to believe.
"""

import asyncio
import atexit
import os
import re
import socket
import ssl
import struct
import tempfile
from collections.abc import Awaitable, Callable
from functools import cache
from types import TracebackType

import trustme

Script = Callable[["Line"], Awaitable[None]]
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Line:
    """The peer's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.requests: list[bytes] = []
        tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
        self.is_resumed = tls is not None and bool(tls.session_reused)

    async def head(self) -> bytes:
        """A request head with its blank line; `b""` when the connection ends instead."""
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def request(self) -> bytes:
        """A whole request, framed by its content-length; `b""` when the connection ends instead."""
        whole = await self.head()
        length = _LENGTH.search(whole)
        if length:
            try:
                whole += await self.reader.readexactly(int(length[1]))
            except (asyncio.IncompleteReadError, ConnectionError):
                return b""
        if whole:
            self.requests.append(whole)
        return whole

    async def write(self, data: bytes, cut_bytes: int = 0) -> None:
        """Write, in pieces of `cut_bytes` that the other side has had the time to read one by one."""
        if not cut_bytes:
            self.writer.write(data)
        for start in range(0, len(data), cut_bytes) if cut_bytes else ():
            self.writer.write(data[start : start + cut_bytes])
            for _ in range(3):
                await asyncio.sleep(0)
        await self.writer.drain()

    async def gone(self) -> None:
        """Return when the other side has closed or reset the connection."""
        try:
            while await self.reader.read(65_536):
                pass
        except ConnectionError:
            pass

    def close(self) -> None:
        self.writer.close()

    def cut(self) -> None:
        """Close the socket at once: without a TLS farewell, and unsent bytes are lost."""
        self.writer.transport.abort()

    def reset(self) -> None:
        """Close so that the other side gets a reset (RST) instead of an end of file."""
        descriptor = self.writer.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(descriptor)) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Peer:
    """Listens on a free port of 127.0.0.1 while the block lasts; plays the script on every connection."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None, limit_bytes: int = 65_536) -> None:
        self.lines: list[Line] = []
        self.port = 0
        self._errors: list[BaseException] = []
        self._limit_bytes = limit_bytes
        self._players: set[asyncio.Task[None]] = set()
        self._script = script
        self._tls = tls

    async def __aenter__(self) -> "Peer":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls, limit=self._limit_bytes)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for player in self._players:
            player.cancel()
        if self._players:
            await asyncio.wait(self._players)
        if self._errors and error is None:
            raise self._errors[0]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        self.lines.append(line)
        player = asyncio.get_running_loop().create_task(self._play(line))
        self._players.add(player)
        player.add_done_callback(self._players.discard)

    async def _play(self, line: Line) -> None:
        try:
            await self._script(line)
        except (ConnectionError, asyncio.CancelledError):
            pass
        except BaseException as error:
            self._errors.append(error)
        finally:
            line.writer.close() if not self._tls else line.cut()


def answering(answer: bytes, cut_bytes: int = 0) -> Script:
    """The script that answers every request on a connection with the same bytes."""

    async def script(line: Line) -> None:
        while await line.request():
            await line.write(answer, cut_bytes)

    return script


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def server_context(name: str) -> ssl.SSLContext:
    """A TLS server that proves to be `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    authority().issue_cert(name).configure_cert(context)
    return context


@cache
def ca_file() -> str:
    """A PEM file with the authority that signs `server_context`; it goes when the tests end."""
    handle, path = tempfile.mkstemp(suffix=".pem")
    os.close(handle)
    authority().cert_pem.write_to_path(path)
    atexit.register(os.unlink, path)
    return path
