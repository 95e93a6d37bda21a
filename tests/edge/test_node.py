"""A whole edge in one loop, with the collector embedded: tasks that die, what readiness says, how it joins."""

import asyncio
import errno
import logging
import sqlite3
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collector.service import Collector
from collector.store.contract import Tx
from collector.store.sqlite import SqliteStore
from edge.node import Node
from edge.settings import Settings
from edge.tasks import Tasks
from edge.telemetry.exposition import written
from tests.collector.facts import make_caller, make_fact
from tests.patience import PATIENCE_S, until
from usage.protocol import Boot, Booted, CollectorClient, Unreachable

pytestmark = pytest.mark.anyio
SUPERVISED = {"watch", "table", "credit", "shipper", "recovery"}
"""At least; `join` is over once there is an epoch."""
KINDS: tuple[Callable[[], BaseException], ...] = (
    lambda: RuntimeError("injected"),
    lambda: ValueError("injected"),
    lambda: KeyError("injected"),
    lambda: IndexError("injected"),
    lambda: TypeError("injected"),
    lambda: AttributeError("injected"),
    lambda: AssertionError("injected"),
    lambda: OSError(errno.EMFILE, "too many open files"),
    lambda: OSError(errno.ENOSPC, "no space left on device"),
    lambda: PermissionError("injected"),
    lambda: ConnectionResetError("injected"),
    lambda: TimeoutError("injected"),
    lambda: asyncio.CancelledError("injected"),
    lambda: RecursionError("injected"),
    lambda: MemoryError("injected"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "injected"),
    lambda: ZeroDivisionError("injected"),
    lambda: EOFError("injected"),
    lambda: sqlite3.DatabaseError("database disk image is malformed"),
    lambda: msgspec.ValidationError("injected"),
    lambda: ssl.SSLError("injected"),
    lambda: Unreachable("injected"),
)


class MortalTasks(Tasks):
    """Supervised tasks die of `poison` wherever they are waiting: once when it is set, or at each start while `is_lasting`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.poison: Callable[[], BaseException] | None = None
        self.is_lasting = False
        self._poisoned = asyncio.Event()

    def kill(self, poison: Callable[[], BaseException], *, is_lasting: bool = False) -> None:
        self.poison, self.is_lasting = poison, is_lasting
        poisoned, self._poisoned = self._poisoned, asyncio.Event()
        poisoned.set()

    def supervise(self, name: str, make: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[Any]:
        return super().supervise(name, lambda: self._live(name, make))

    async def _live(self, name: str, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self.is_lasting and self.poison is not None:
            raise self.poison()
        living, dying = self.spawn(f"{name}, inside", make()), self.spawn("poison", self._poisoned.wait())
        try:
            await asyncio.wait({living, dying}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (living, dying):
                task.cancel()
        if not living.done():
            assert self.poison is not None
            raise self.poison()
        await living


@asynccontextmanager
async def started(
    folder: Path, wrap: Callable[[CollectorClient], CollectorClient] = lambda collector: collector
) -> AsyncIterator[tuple[Node, Collector]]:
    (folder / "providers.toml").write_text("")
    collector = Collector(SqliteStore.open(folder / "collector.db"))
    settings = Settings.read({"TOLLWAY_DATA": str(folder / "data"), "TOLLWAY_PROVIDERS": str(folder / "providers.toml")})
    node = Node(settings, "n1", wrap(collector.for_node("n1")))
    node.tasks = MortalTasks(node.metrics.restarts)
    await node.start()
    try:
        yield node, collector
    finally:
        assert isinstance(node.tasks, MortalTasks)
        node.tasks.is_lasting = False
        await node.stop()
        await collector.shut_down()


@pytest.mark.parametrize("kind", range(len(KINDS)))
async def test_supervised_tasks_that_die_live_again(kind: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Killed together by one kind of exception: each has its line in the log, all work again, and no record is lost."""
    caplog.set_level(logging.ERROR)
    async with started(tmp_path) as (node, collector):
        caller = await make_caller(collector)
        assert node.journal is not None
        assert node.shipper is not None
        settled = [make_fact(seq, caller, "n1", node.journal.epoch, f"gen-{seq}") for seq in (1, 2)]
        for seq, fact in enumerate(settled, start=1):
            node.journal.settle(fact)
            assert isinstance(node.tasks, MortalTasks)
            if seq == 1:
                node.tasks.kill(KINDS[kind])
                await until(lambda: set(node.metrics.restarts) == set(node.tasks.supervised) - {"join"} >= SUPERVISED)
            assert await node.shipper.flush(PATIENCE_S)
        assert node.readiness().is_ready
        lines = [line for family in node.metrics.families() for line in written(family, is_open=False)]
        assert 'tollway_task_restarts_total{task="shipper"} 1\n' in lines
        kept = await collector.read(lambda tx, now: tx.rows("SELECT gen_id FROM records"))
        assert sorted(kept) == sorted((fact.gen_id,) for fact in settled)
    said = [entry.getMessage() for entry in caplog.records]
    assert all(any(f"task {name} failed" in line for line in said) for name in SUPERVISED), said


async def test_supervised_tasks_that_die_again_and_again_turn_readiness_red(tmp_path: Path) -> None:
    """Each by its name; and green again when they live."""
    async with started(tmp_path) as (node, _):
        assert node.readiness().is_ready
        assert isinstance(node.tasks, MortalTasks)
        node.tasks.kill(KINDS[0], is_lasting=True)
        await until(lambda: len(node.tasks.failing()) == len(node.tasks.supervised) - 1)
        readiness = node.readiness()
        assert not readiness.is_ready
        assert all(f"task {name} fails: RuntimeError: injected" in readiness.problems for name in SUPERVISED)
        node.tasks.is_lasting = False
        await until(lambda: node.readiness().is_ready)


class Counting:
    """A collector that counts boots."""

    def __init__(self, collector: CollectorClient) -> None:
        self.boots = 0
        self._collector = collector

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collector, name)

    async def boot(self, message: Boot) -> Booted:
        self.boots += 1
        return await self._collector.boot(message)


async def test_folder_that_cannot_be_written_boots_no_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector is asked for an epoch, once, when there is a place for its journal; until then /readyz says what is
    missing."""
    from edge import node as module
    from edge.collector_client import epoch

    counting: list[Counting] = []
    is_full = True

    def prove(data: Path) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")

    def wrap(collector: CollectorClient) -> Any:
        counting.append(Counting(collector))
        return counting[0]

    monkeypatch.setattr(epoch, "prove_writable", prove)
    monkeypatch.setattr(epoch, "JOURNAL_RETRY_S", 0.02)
    monkeypatch.setattr(module, "JOIN_WAIT_S", 0.2)
    async with started(tmp_path, wrap) as (node, _):
        assert counting[0].boots == 0
        assert "No space left on device" in node.readiness().problems[0]
        is_full = False
        await until(lambda: node.readiness().is_ready)
        assert counting[0].boots == 1


async def test_joining_that_fails_half_way_keeps_its_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is started again and goes on with what it has: one boot, one journal, one task of each name; a folder that cannot be
    read for what earlier epochs left is no reason not to serve."""
    from edge.auth.authenticator import Deployment
    from edge.journal import Recovery

    counting: list[Counting] = []
    failures = [RuntimeError("injected"), MemoryError("injected")]
    original = Deployment.of

    def of(booted: Booted) -> Any:
        if failures:
            raise failures.pop()
        return original(booted)

    def epochs(recovery: Recovery) -> list[int]:
        raise OSError(errno.EIO, "Input/output error")

    def wrap(collector: CollectorClient) -> Any:
        counting.append(Counting(collector))
        return counting[0]

    monkeypatch.setattr(Deployment, "of", of)
    monkeypatch.setattr(Recovery, "epochs", epochs)
    async with started(tmp_path, wrap) as (node, _):
        await until(lambda: node._relay is not None)
        assert counting[0].boots == 1
        assert node.metrics.restarts["join"] == 2
        assert len(list((tmp_path / "data" / "journal").glob("*/[0-9]*"))) == 1
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert [names.count(name) for name in ("credit", "shipper", "recovery")] == [1, 1, 1]


async def test_record_that_cannot_be_shipped_for_long_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure to ship is a warning at first; after a lease's life nothing may be served in silence, so readiness is red."""
    from edge import readiness as module

    class Refusing(Counting):
        async def ingest(self, message: Any) -> Any:
            raise Unreachable("the collector's database: disk I/O error")

    monkeypatch.setattr(module, "AWAY_S", 0.0)
    async with started(tmp_path, lambda collector: Refusing(collector)) as (node, collector):
        caller = await make_caller(collector)
        assert node.journal is not None
        node.journal.settle(make_fact(1, caller, "n1", node.journal.epoch, "gen-1"))
        await until(lambda: bool(node.readiness().warnings))
        assert node.readiness().is_ready
        assert "usage cannot be shipped: the collector's database: disk I/O error" in node.readiness().warnings[0]
        monkeypatch.setattr(module, "LIFE_S", 0.1)
        await until(lambda: not node.readiness().is_ready)


async def test_backlog_goes_as_soon_as_the_collector_is_back(tmp_path: Path) -> None:
    """However long the pauses between attempts have grown, a poll that is answered ends them."""
    is_away = False

    class Away(Counting):
        def __getattr__(self, name: str) -> Any:
            call = getattr(self._collector, name)

            async def answer(message: Any) -> Any:
                if is_away:
                    raise Unreachable("the link is down")
                return await call(message)

            return answer

    async with started(tmp_path, lambda collector: Away(collector)) as (node, collector):
        caller = await make_caller(collector)
        assert node.journal is not None
        assert node.shipper is not None
        assert node.credit is not None
        node.shipper._backoff.dice = lambda: 1.0
        is_away = True
        node.journal.settle(make_fact(1, caller, "n1", node.journal.epoch, "gen-1"))
        await until(lambda: bool(node.shipper and node.shipper.outage.problem and node.credit and node.credit.problem))
        node.shipper._backoff.failures = 30
        await until(lambda: node.shipper is not None and node.shipper.failures_total > 1)
        is_away = False
        await until(lambda: node.journal is not None and node.journal.acked_through == 1)


async def test_store_that_is_damaged_turns_readiness_red_at_once(tmp_path: Path) -> None:
    """It does not get better by itself, so nobody waits for a lease to end before it is said."""
    async with started(tmp_path) as (node, collector):
        caller = await make_caller(collector)

        def damage(tx: Any, now: int) -> None:
            raise sqlite3.DatabaseError("database disk image is malformed")

        original = collector.write

        async def write(work: Any) -> Any:
            return await original(damage)

        collector.write = write  # type: ignore[method-assign]
        assert node.journal is not None
        node.journal.settle(make_fact(1, caller, "n1", node.journal.epoch, "gen-1"))
        await until(lambda: not node.readiness().is_ready)
        assert "database disk image is malformed" in node.readiness().problems[0]
        collector.write = original  # type: ignore[method-assign]
        await until(lambda: node.readiness().is_ready)


async def test_credit_goes_back_though_the_epoch_cannot_be_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving returns what is free by itself: closing the epoch would, but that may have to wait for the next start."""

    class NeverCloses(Counting):
        def __getattr__(self, name: str) -> Any:
            async def refuse(message: Any) -> Any:
                raise Unreachable("the link is down")

            return refuse if name == "close" else getattr(self._collector, name)

    async with started(tmp_path, lambda collector: NeverCloses(collector)) as (node, collector):
        caller = await make_caller(collector)
        assert node.credit is not None
        policy = await node.credit.look_up(caller.digest, True)
        assert policy is not None
        answer = await node.credit.hold_cold(policy, 1_000, 1_000)
        assert answer.held_nano == 1_000
        node.credit.settle(policy.purse, 1_000, 0)
        assert await collector.read(lambda tx, now: available(tx)) < 1_000_000
        await node.stop()
        monkeypatch.setattr(node, "stop", nothing)  # it has stopped
        assert await collector.read(lambda tx, now: available(tx)) == 1_000_000


async def nothing() -> None:
    """Done already."""


def available(tx: Tx) -> int:
    row = tx.row("SELECT available_nano FROM accounts WHERE account = ?", "acme")
    assert row is not None
    return int(row[0])
