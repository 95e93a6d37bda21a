"""A scripted provider over real sockets: it answers as a test told it to, and remembers what it was asked.

Rule: what a test scripts (tests/answers.py) is what goes out, byte for byte; the model that a request names chooses the script.
Strategy: the server runs on a loop of its own in a thread, so that synchronous tests (SDKs, curl, Node) can drive it.
Limits: requests framed by content-length, one at a time per connection; enough for what the proxy sends.
"""

import asyncio
import contextlib
import json
import re
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.answers import Answer, Delay, Gate, respond
from tests.patience import PATIENCE_S

MODEL_IN_PATH = re.compile(r"/models/([^/:]+):")
"""Google's API names the model there and not in the body."""


@dataclass
class Request:
    """One request as it came. `closed` is set when its connection has gone away before or after the answer was written."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    at_s: float = field(default_factory=time.monotonic)
    closed: threading.Event = field(default_factory=threading.Event)
    closed_at_s: float = 0.0
    is_answered: bool = False

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) <= 1, f"{name} came {len(found)} times"
        return found[0] if found else None

    def json(self) -> Any:
        return json.loads(self.body)


Script = Sequence[Answer] | Callable[[Request], Answer]


class Provider:
    """The server. `script` tells what to answer, `requests` what was asked. A context manager; `port` is a free one."""

    def __init__(self) -> None:
        self.requests: dict[str, list[Request]] = defaultdict(list)
        self._scripts: dict[str, Script] = {}
        self._gates: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._connections: set[_Connection] = set()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="provider", daemon=True)

    def __enter__(self) -> "Provider":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Its connections are cut and its port refuses more, if that is not so already."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_S)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, model: str, *answers: Answer) -> None:
        """Requests for `model` get these answers in turn; the last one is repeated."""
        assert answers
        self._scripts[model] = answers

    def script_by(self, model: str, answer: Callable[[Request], Answer]) -> None:
        """Requests for `model` are answered by a function, on the server's thread."""
        self._scripts[model] = answer

    def release(self, gate: str) -> None:
        """Let whatever waits, or will wait, at this gate go on."""
        self._loop.call_soon_threadsafe(lambda: self._gates[gate].set())

    def wait_for_request(self, model: str, count: int = 1) -> Request:
        """The `count`-th request for `model`, as soon as it is there."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests[model]) >= count, PATIENCE_S), (
                f"no request {count} for {model}"
            )
            return self.requests[model][count - 1]

    def forget(self, model: str) -> None:
        """Drop what was recorded for `model` (a load test would keep it all)."""
        self.requests[model].clear()

    def connections(self) -> int:
        return len(self._connections)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(self._loop.create_server(lambda: _Connection(self), sock=self._socket))
        self._loop.run_forever()
        server.close()
        for connection in list(self._connections):
            connection.drop()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _answer_to(self, request: Request) -> Answer:
        named = MODEL_IN_PATH.search(request.line)
        model = named[1] if named else ""
        with contextlib.suppress(ValueError, AttributeError):
            model = model or str(request.json().get("model"))
        with self._changed:
            asked = self.requests[model]
            asked.append(request)
            self._changed.notify_all()
        script = self._scripts.get(model)
        if script is None:
            return respond({"error": {"message": f"no script for {model!r}", "type": "test", "code": "unscripted"}}, 418)
        if callable(script):
            return script(request)
        return script[min(len(asked), len(script)) - 1]


class _Connection(asyncio.Protocol):
    """One connection: requests come in, scripted answers go out, its end is noted in the request that it ended."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._buffer = bytearray()
        self._request: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._provider._connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None or self._task.done():
            self._next_request()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._provider._connections.discard(self)
        if self._task is not None:
            self._task.cancel()
        if self._request is not None:
            self._request.closed_at_s = time.monotonic()
            self._request.closed.set()

    def drop(self, reset: bool = False) -> None:
        if reset:
            linger_off = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_off)
            self._transport.abort()
        else:
            self._transport.close()

    def _next_request(self) -> None:
        stop = self._buffer.find(b"\r\n\r\n")
        if stop < 0:
            return
        line, *rows = self._buffer[:stop].decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (row.partition(":") for row in rows)]
        length = sum(int(value) for name, value in headers if name.lower() == "content-length")
        if len(self._buffer) < stop + 4 + length:
            return
        body = bytes(self._buffer[stop + 4 : stop + 4 + length])
        del self._buffer[: stop + 4 + length]
        self._request = Request(line, headers, body)
        self._task = asyncio.get_running_loop().create_task(self._play(self._request, self._provider._answer_to(self._request)))

    async def _play(self, request: Request, answer: Answer) -> None:
        for number, step in enumerate(answer):
            if isinstance(step, bytes):
                self._transport.write(step)
                if number % 64 == 63:
                    await asyncio.sleep(0)
                await self._writable.wait()
            elif isinstance(step, Gate):
                await self._provider._gates[step.name].wait()
            elif isinstance(step, Delay):
                await asyncio.sleep(step.seconds)
            else:
                self.drop(step.reset)
        request.is_answered = True
        if self._buffer:
            asyncio.get_running_loop().call_soon(self._next_request)
