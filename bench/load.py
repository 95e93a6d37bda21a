"""The load: wrk for plain requests, and a small client of our own for streams, paced or held open.

Rule: the client runs in this process, outside every measured process tree. It counts events and throws the bytes away.
Rule: each request has an `x-request-id` and an `x-forwarded-for` of its own, as behind any load balancer.
Limits: an event whose `data:` is cut by a read boundary is not counted; at the sizes sent here none is.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import cast

import uvloop

from bench.mock import CHUNKS, GAP_S, MODEL, MODEL_HELD
from bench.process import Memory

QUESTION = "What is a toll road, and who pays for it? Answer in two sentences, plainly, as if to a child of eight."
OPENING_MAX = 64
SCHEDULE = """
local ffi = require("ffi")
ffi.cdef[[ typedef struct {{ long s; long us; }} timeval; int gettimeofday(timeval *, void *); ]]
local clock = ffi.new("timeval")
local due_ms
function delay()
  ffi.C.gettimeofday(clock, nil)
  local now_ms = tonumber(clock.s) * 1e3 + tonumber(clock.us) / 1e3
  due_ms = math.max((due_ms or now_ms) + {gap_ms}, now_ms - {late_ms})
  return math.max(0, math.floor(due_ms - now_ms))
end
"""
"""wrk asks each connection that is free how long it is to wait: until the next place in one schedule for all of them."""
LATE_MS = 20
"""So much lateness is made up for; what comes later than that is not sent in a burst."""
WRK_SCRIPT = """
{schedule}
local before, after = {before}, {after}
local number, format, floor = 0, string.format, math.floor
function request()
  number = number + 1
  return format("%s%010d\\r\\nx-forwarded-for: 203.0.%d.%d%s", before, number, floor(number / 250) % 250, number % 250, after)
end
done = function(summary, latency, requests)
  io.write(string.format(
    '\\nRESULT {{"requests":%d,"duration_us":%d,"p50_us":%f,"p99_us":%f,"bad_status":%d,"bad_socket":%d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"""


@dataclass(frozen=True)
class Target:
    """Where the load goes: a port on loopback, and how a chat request is spelled there."""

    port: int
    path: str = "/v1/chat/completions"
    headers: dict[str, str] = field(default_factory=dict)
    prefix: str = ""

    def body(self, *, stream: bool = False, held: bool = False) -> str:
        request: dict[str, object] = {
            "model": self.prefix + (MODEL_HELD if held else MODEL),
            "messages": [{"role": "user", "content": QUESTION}],
            "max_tokens": 64,
        }
        if stream:
            request["stream"] = True
        return json.dumps(request, separators=(",", ":"))

    def around(self, body: str) -> tuple[str, str]:
        """What stands of a request before the number in its `x-request-id` and after its `x-forwarded-for`."""
        headers = {"host": f"127.0.0.1:{self.port}", "content-type": "application/json", **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        before = f"POST {self.path} HTTP/1.1\r\n{head}x-request-id: bench-"
        return before, f"\r\ncontent-length: {len(body)}\r\n\r\n{body}"

    def requests(self, body: str) -> Iterator[bytes]:
        """One request after another, each with a head of its own."""
        before, after = self.around(body)
        for number in count():
            yield f"{before}{number:010d}\r\nx-forwarded-for: 203.0.{number // 250 % 250}.{number % 250}{after}".encode()


@dataclass(frozen=True)
class Plain:
    """What came of a round of plain requests."""

    requests: int
    duration_us: int
    p50_us: float
    p99_us: float
    bad_status: int
    bad_socket: int


def send_plain(target: Target, connections: int, duration_s: float, folder: Path, rate: int = 0) -> Plain:
    """A round of wrk over `connections`: `rate` requests a second, evenly spaced; 0: each with the answer to the last one."""
    before, after = target.around(target.body())
    script = folder / "wrk.lua"
    script.write_text(
        WRK_SCRIPT.format(
            schedule=SCHEDULE.format(gap_ms=1e3 / rate, late_ms=LATE_MS) if rate else "",
            before=json.dumps(before),  # as Lua writes a string of ASCII, too
            after=json.dumps(after),
        )
    )
    argv = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(duration_s))}s",
        "--timeout",
        "10s",
        "--latency",
        "-s",
        str(script),
    ]
    run = subprocess.run(
        [*argv, f"http://127.0.0.1:{target.port}"], capture_output=True, text=True, timeout=duration_s + 60, check=False
    )
    marked = [line for line in run.stdout.splitlines() if line.startswith("RESULT ")]
    if not marked:
        raise RuntimeError(f"wrk gave no result: {run.stdout[-500:]} {run.stderr[-500:]}")
    return Plain(**json.loads(marked[0].removeprefix("RESULT ")))


@dataclass
class Tally:
    """What the stream connections have seen so far."""

    chunks: int = 0
    ended: int = 0
    failed: int = 0


class Stream(asyncio.Protocol):
    """One connection that asks for a stream, and for the next when it has ended. `on_answer` is called once, whatever comes."""

    def __init__(self, requests: Iterator[bytes], tally: Tally, on_answer: Callable[[], None] | None = None) -> None:
        self._requests = requests
        self._tally = tally
        self._on_answer = on_answer
        self._is_head = True
        self._has_chunk = False
        self._is_closed = False
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        return self._has_chunk and not self._is_closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are not its subclasses
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        if self._is_head:
            self._is_head = False
            if b" 200 " not in data[:32]:
                self._fail()
                return
        events = data.count(b"data:")
        self._tally.chunks += events
        if events and not self._has_chunk:
            self._has_chunk = True
            self._answer()
        if data.endswith(b"0\r\n\r\n") and self._transport is not None:
            self._tally.ended += 1
            self._is_head = True
            self._transport.write(next(self._requests))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_closed:
            self._fail()

    def close(self) -> None:
        self._is_closed = True
        if self._transport is not None:
            self._transport.abort()

    def _fail(self) -> None:
        self._tally.failed += 1
        self.close()
        if not self._has_chunk:
            self._answer()

    def _answer(self) -> None:
        if self._on_answer is not None:
            self._on_answer()


@dataclass(frozen=True)
class Paced:
    """What came of a round of paced streams: chunks and CPU seconds inside the window."""

    chunks: int
    cpu_s: float
    failed: int
    streams: int
    duration_s: float


def send_paced(target: Target, streams: int, duration_s: float, cpu_s: Callable[[], float]) -> Paced:
    """Keep `streams` paced streams running and read `cpu_s` at both ends of a window of `duration_s` after the warm-up."""

    async def run() -> Paced:
        tally, requests = Tally(), target.requests(target.body(stream=True))
        loop = asyncio.get_running_loop()
        slots: list[Stream] = []
        for _ in range(streams):
            _, stream = await loop.create_connection(lambda: Stream(requests, tally), "127.0.0.1", target.port)
            slots.append(stream)
            await asyncio.sleep(CHUNKS * GAP_S / streams)  # so that not all streams beat at the same moment
        await asyncio.sleep(CHUNKS * GAP_S)
        chunks, cpu, start = tally.chunks, cpu_s(), time.monotonic()
        await asyncio.sleep(duration_s)
        result = Paced(tally.chunks - chunks, cpu_s() - cpu, tally.failed, streams, time.monotonic() - start)
        for stream in slots:
            stream.close()
        await asyncio.sleep(0.2)
        return result

    return uvloop.run(run())


@dataclass(frozen=True)
class Held:
    """How many streams were open, and the memory of the tree, before and while they were."""

    opened: int
    failed: int
    before: Memory
    during: Memory


def hold_open(target: Target, streams: int, timeout_s: float, memory: Callable[[], Memory]) -> Held:
    """Open `streams` streams that fall silent after one chunk, as many as are open in time, and read the memory meanwhile."""

    async def run() -> Held:
        tally, requests = Tally(), target.requests(target.body(stream=True, held=True))
        loop = asyncio.get_running_loop()
        opening = asyncio.Semaphore(OPENING_MAX)
        slots: list[Stream] = []
        before = memory()
        try:
            async with asyncio.timeout_at(loop.time() + timeout_s):
                while len(slots) < streams:
                    await opening.acquire()
                    _, stream = await loop.create_connection(
                        lambda: Stream(requests, tally, opening.release), "127.0.0.1", target.port
                    )
                    slots.append(stream)
                for _ in range(OPENING_MAX):  # all permits are back when everybody has an answer
                    await opening.acquire()
        except TimeoutError:
            pass
        await asyncio.sleep(1.0)
        result = Held(sum(stream.is_open for stream in slots), tally.failed, before, memory())
        for stream in slots:
            stream.close()
        await asyncio.sleep(1.0)
        return result

    return uvloop.run(run())
