"""A relay on the bench: the real table, journal, credit and relay between a scripted provider and a scripted caller.

It takes production's branch: the journal's lines, requests and answers go out together at the end of a turn (`WriteBatch`), and
the server says who is answered (`CALLER`). `server="granian"` takes the other one: settlements wait for nothing, answers go out
at once, a task waits for the caller to leave; `transport="httpx"` is a provider's side that writes past the batch.

`Rig.ask` runs one request to its end. What the provider does is a list of steps: bytes, an exception, or a callable that is run
when the relay has come that far. Clocks do not run by themselves: `look` is one tick of the watch at a time the test chooses.
"""

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Literal, cast

from edge.auth.authenticator import Authenticator, Deployment
from edge.auth.client_address import FailedAuthentications
from edge.collector_client.session import CollectorSession
from edge.credit.accounting import AccountingContext
from edge.credit.credit import Credit
from edge.downstream import CALLER
from edge.journal import Journal
from edge.limits.fair_start import FairStart
from edge.limits.limiter import RateLimiter
from edge.providers.reload import read_config, sources_of
from edge.providers.resolver import LazyUpstream
from edge.providers.table import Table
from edge.relay.body import MemoryBudget
from edge.relay.idempotency import IdempotencyKeys
from edge.relay.ids import IdGenerator
from edge.relay.relay import Relay, Shared
from edge.relay.watchdog import Watchdog
from edge.tasks import Tasks
from edge.telemetry.metrics import Metrics
from edge.upstream import Header, PoolStats, Target
from edge.write_batch import WriteBatch
from routing.failures.failure import AttemptFailed, Failure, Kind, Sent, Source
from routing.surfaces import CHAT, Entry
from tests.collectors import ScriptedCollector
from tests.memory_collector import MemoryCollector
from tests.patience import PATIENCE_S
from usage import key
from usage.protocol import Boot
from usage.record import UsageRecord

Step = bytes | Exception | Callable[[], None]
Server = Literal["native", "granian"]
Transport = Literal["native", "httpx"]
SSE: list[Header] = [(b"content-type", b"text/event-stream")]
JSON: list[Header] = [(b"content-type", b"application/json")]
TABLE = """
[providers.p]
base_url = "http://provider.test/v1"
api_key = "none"
{extra}
[providers.p.models.m]
input = "1"
output = "2"
context_tokens = 100_000
max_output_tokens = 1_000
[providers.q]
base_url = "http://other.test/v1"
api_key = "none"
[providers.q.models.m]
input = "3"
output = "4"
[aliases]
both = ["p/m", "q/m"]
"""


def reread(table: Table, path: Path) -> None:
    """What a reload does, at once."""
    config = read_config(path.read_bytes())
    table.adopt(config, sources_of(path.read_bytes(), config))


class Play:
    """One scripted exchange. `aborted` says whether the relay hung up; after the last step reads wait until poked.
    A poke that comes while nobody reads is lost, as it is everywhere.

    `pours`: bytes are offered to the sink first, as the native transport does; without, it is ignored, as by the others.
    """

    pours = True
    is_whole = False

    def __init__(self, status: int, headers: list[Header], steps: Sequence[Step], *, ends: bool = True) -> None:
        self.status = status
        self.headers, self.fields = headers, dict(headers)
        self.aborted = False
        self.sink: Callable[[bytes], bool] | None = None
        self.asked = b""
        self.failure: Failure | None = None
        self.is_sent = asyncio.Event()
        self.on_sent: Callable[[], None] = lambda: None
        self._steps = [*steps, b""] if ends else list(steps)
        self._has_ended = False
        self._poked = asyncio.Event()
        self._is_read = False
        self.is_waiting = asyncio.Event()

    async def head(self) -> bool:
        await self.is_sent.wait()
        if self.failure is not None:
            raise AttemptFailed(self.failure)
        return True

    # What the write batch calls, at the end of the turn.

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        """The request leaves."""
        self.on_sent()
        self.is_sent.set()

    def fail(self, kind: Kind, source: Source, detail: str, sent: Sent) -> None:
        """It does not: its intent could not be written."""
        self.failure = Failure(kind, source, sent, detail=detail)
        self.is_sent.set()

    async def read(self) -> bytes | None:
        self._is_read = True
        try:
            return await self._read()
        finally:
            self._is_read = False

    async def _read(self) -> bytes | None:
        await asyncio.sleep(0)
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, bytes):
                self._has_ended = not step
                if not (self.pours and self._steps and self.sink is not None and self.sink(step)):
                    return step
                if self._poked.is_set():
                    self._poked.clear()
                    return None
                continue
            if isinstance(step, Exception):
                raise step
            step()
        if self._has_ended:
            return b""
        self.is_waiting.set()
        await self._poked.wait()
        self._poked.clear()
        return None

    def poke(self) -> None:
        if self._is_read:
            self._poked.set()

    def abort(self) -> None:
        self.aborted = True


class Stage:
    """An Upstream whose answers are plays, in order; an exception instead of a play is what `open` raises.

    `targets` are those that a request was written to, or that could not be reached; `on_open` is called when one is written.
    """

    def __init__(self, write_batch: WriteBatch | None) -> None:
        self.write_batch = write_batch
        self.plays: list[Play | Exception] = []
        self.targets: list[Target] = []
        self.on_open: Callable[[], None] = lambda: None

    async def open(self, target: Target, head: bytes, body: Sequence[bytes | memoryview]) -> Play:
        play = self.plays.pop(0)
        if isinstance(play, Exception):
            self._sent(target)
            raise play
        play.asked = b"".join(body)
        play.on_sent = lambda: self._sent(target)
        if self.write_batch is None:
            play.write(play.asked)
        else:
            self.write_batch.write(cast(asyncio.Transport, play), head + play.asked, play)
        return play

    def _sent(self, target: Target) -> None:
        self.targets.append(target)
        self.on_open()

    async def aclose(self) -> None:
        pass

    def stats(self) -> PoolStats:
        return PoolStats(open=0, idle=0, opened_total=0, reused_total=0)


class _Arriving:
    """A part of an answer on its way to its caller, who has it at the end of the turn."""

    def __init__(self, caller: "Caller", message: dict[str, Any]) -> None:
        self._caller, self._message = caller, message

    def is_closing(self) -> bool:
        return self._caller.is_gone

    def write(self, data: bytes) -> None:
        self._caller.on_arrival(self._message)
        self._caller.sent.append(self._message)


class Caller:
    """The other side: what it sends, what it got. `leave()`: it has gone, and whoever listens hears of it.

    `batch`: what its server writes through, which then says who is answered, too; None: a foreign server.
    """

    on_leave: Callable[[], None] | None = None
    is_gone = says_no_more = False

    def __init__(self, body: bytes, headers: list[Header], batch: WriteBatch | None = None) -> None:
        self.scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
        self._batch = batch
        if batch is not None:
            self.scope["extensions"] = {CALLER: self}
        self.sent: list[dict[str, Any]] = []
        self.on_send: Callable[[dict[str, Any]], None] = lambda message: None
        """Called when the relay sends."""
        self.on_arrival: Callable[[dict[str, Any]], None] = lambda message: None
        """Called when the caller has it."""
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._incoming.put_nowait({"type": "http.request", "body": body, "more_body": False})

    async def receive(self) -> dict[str, Any]:
        return await self._incoming.get()

    @property
    def task(self) -> "asyncio.Task[Any] | None":
        """The one in which this is asked: that which answers it, as the server has it."""
        return asyncio.current_task()

    async def send(self, message: Any) -> None:
        self.on_send(message)
        arriving = _Arriving(self, dict(message))
        if self._batch is None:
            arriving.write(b"")
        else:
            self._batch.write(cast(asyncio.Transport, arriving), message.get("body", b""))

    def leave(self) -> None:
        self.is_gone = True
        self._incoming.put_nowait({"type": "http.disconnect"})
        if self.on_leave is not None:
            self.on_leave()

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def is_complete(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[Any]:
        payloads = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return [payload if payload == b"[DONE]" else json.loads(payload) for payload in payloads]


class Rig:
    """Use as an asynchronous context manager. `credit_nano` is what the account has."""

    def __init__(
        self,
        folder: Path,
        *,
        credit_nano: int = 10**9,
        extra: str = "",
        more: str = "",
        durability: str = "os",
        server: Server = "native",
        transport: Transport = "native",
    ) -> None:
        self.batch = WriteBatch()
        self.batch.takes_answers = server == "native"
        table = folder / "providers.toml"
        table.write_text(TABLE.format(extra=extra) + more)
        self.key, key_id = key.mint(os.urandom(32))
        self.in_memory = MemoryCollector()
        self.in_memory.open_account("acct", credit_nano)
        self.in_memory.add_key(key.digest(self.key.encode()), "acct", key_id)
        self.collector = ScriptedCollector(self.in_memory)
        self.stage = Stage(self.batch if transport == "native" else None)
        self.tasks = Tasks()
        self.table = Table(table, self.stage, LazyUpstream())
        self.watch = Watchdog(self.tasks, self.table.limits)
        self.in_flight = MemoryBudget(self.table.limits, 1 << 30)
        self._folder = folder
        self._durability: Any = durability

    async def __aenter__(self) -> "Rig":
        epoch = self.in_memory.boot(Boot("n", "boot")).epoch
        self.journal = Journal.open(str(self._folder / "journal"), "n", epoch, durability=self._durability)
        self.journal.join(self.batch)
        self.limiter = RateLimiter()
        self.credit = Credit(CollectorSession("n", epoch, self.collector), self.tasks, limiter=self.limiter, wait_s=PATIENCE_S)
        self._asking = self.tasks.spawn("limits", self.limiter.reports.run(self.credit.poll))
        self.metrics = Metrics()
        accounting = AccountingContext("n", epoch, self.journal, self.credit, self.metrics, self.limiter)
        ids = IdGenerator()
        starts, failed = FairStart(WriteBatch()), FailedAuthentications()
        shared = Shared(self.watch, ids, self.in_flight, starts, IdempotencyKeys(), failed)
        self.relay = Relay(self.table, accounting, Authenticator(self.credit, Deployment(), ids.clock), shared)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._asking.cancel()
        await self.tasks.drain(1.0)
        await self.journal.aclose()

    def caller(self, **members: Any) -> Caller:
        body = {"model": "p/m", "messages": [{"role": "user", "content": "hi"}], **members}
        headers = [(b"host", b"edge.test"), (b"authorization", b"Bearer " + self.key.encode())]
        return self.caller_of(json.dumps(body).encode(), headers)

    def caller_of(self, body: bytes, headers: list[Header]) -> Caller:
        """Of any body, under this rig's server."""
        return Caller(body, headers, self.batch if self.batch.takes_answers else None)

    async def run(self, caller: Caller, entry: Entry = CHAT) -> Caller:
        """The request to its end, in this task, on that surface; and the turn of the loop to its end, as a server's would go."""
        relay = self.relay if entry is CHAT else self.relay.on(entry)
        await relay(caller.scope, caller.receive, caller.send)
        self.batch.end()
        return caller

    async def ask(self, play: Play | Exception, *more: Play | Exception, **members: Any) -> Caller:
        self.stage.plays = [play, *more]
        return await self.run(self.caller(**members))

    def start(self, caller: Caller) -> "asyncio.Task[Caller]":
        """The request in a task of its own, as the server runs it."""
        return self.tasks.spawn("request", self.run(caller))

    def look(self, after_s: float) -> None:
        """One tick of the watch now, which sees what has come, and one `after_s` later."""
        for context in tuple(self.watch.contexts):
            self.watch.look_at(context, monotonic())
        now_s = monotonic() + after_s
        for context in tuple(self.watch.contexts):
            self.watch.look_at(context, now_s)

    @property
    def records(self) -> list[UsageRecord]:
        """Everything settled so far, in order."""
        self.batch.end()
        return self.journal.read_records(1, 10_000, 1 << 30)

    @property
    def held_nano(self) -> int:
        return self.credit.totals()["held_nano"]


def broken(sent: Sent, kind: Kind = Kind.BROKEN) -> AttemptFailed:
    return AttemptFailed(Failure(kind, Source.UPSTREAM, sent))
