"""One turn of the event loop: what it keeps, in what order it sends, and that nothing leaves before the journal has it."""

import asyncio
import errno
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from edge.downstream.server import Server
from edge.journal import Journal
from edge.journal.worker import SyncWorker
from edge.limits.live import LiveLimits
from edge.relay.context import RequestContext
from edge.relay.end_reason import CancelReason
from edge.relay.watchdog import Watchdog
from edge.tasks import Tasks
from edge.upstream.pool import NativeUpstream
from edge.write_batch import HELD_MAX, LARGE_BYTES, WRITE_BATCH, WriteBatch
from routing.failures.failure import AttemptFailed, Kind, Sent, Source
from tests.disks import FaultyDisk, RememberingDisk
from tests.edge.generations import gen_id, intent, record
from tests.edge.journal.test_journal import ALL, open_journal, recovered
from tests.edge.upstreams import head_for, target_of
from tests.patience import until
from tests.peers import Line, Peer
from tests.ports import free_port
from usage.record import Tokens

pytestmark = pytest.mark.anyio
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


class Log(list[str]):
    """What happened, in order; a transport that notes what is written to it, and a request that notes its refusal."""

    def transport(self, name: str) -> "Transport":
        return Transport(self, name)

    def commit(self) -> str:
        self.append("commit")
        return ""


class Transport(asyncio.Transport):
    def __init__(self, log: Log, name: str) -> None:
        super().__init__()
        self.log = log
        self.name = name
        self.is_broken = False
        self.is_closed = False

    def abort(self) -> None:
        self.log.append(f"{self.name} aborted")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_broken:
            raise RuntimeError("broken")
        self.log.append(f"{self.name} {bytes(data[:8]).decode()}")

    def is_closing(self) -> bool:
        return self.is_closed

    def fail(self, kind: Kind, source: Source, detail: str, sent: Sent) -> None:
        self.log.append(f"{self.name} refused: {kind.value} {source.value} {sent.value} {detail}")


async def test_turn_keeps_what_is_written_until_its_end_and_commits_first() -> None:
    log, turn = Log(), WriteBatch()
    turn.commit = log.commit
    a, b = log.transport("a"), log.transport("b")
    turn.write(a, b"1")
    turn.write(b, b"2")
    turn.write(a, b"3")
    assert log == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert log == ["commit", "a 1", "b 2", "a 3"]
    turn.write(a, b"4")
    turn.end()
    assert log[4:] == ["commit", "a 4"]


async def test_turn_that_has_much_to_send_does_not_wait() -> None:
    log, turn = Log(), WriteBatch()
    a = log.transport("a")
    for _ in range(HELD_MAX):
        assert log == []
        turn.write(a, b"x")
    assert len(log) == HELD_MAX
    turn.write(a, b"s")
    turn.write(a, b"L" * LARGE_BYTES)
    assert log[HELD_MAX:] == ["a s", "a LLLLLLLL"]


async def test_turn_leaves_out_who_has_gone() -> None:
    log, turn = Log(), WriteBatch()
    a, b = log.transport("a"), log.transport("b")
    turn.write(a, b"1")
    turn.write(b, b"2")
    a.is_closed = True
    turn.end()
    assert log == ["b 2"]


async def test_turn_survives_a_connection_that_takes_nothing() -> None:
    """What the others have to send goes out."""
    log, turn = Log(), WriteBatch()
    a, b = log.transport("a"), log.transport("b")
    a.is_broken = True
    turn.write(a, b"1")
    turn.write(b, b"2")
    turn.end()
    assert log == ["a aborted", "b 2"]


async def test_turn_whose_commit_fails_refuses_its_requests_and_sends_its_answers() -> None:
    log, turn = Log(), WriteBatch()
    turn.commit = lambda: "disk full"
    provider, caller = log.transport("provider"), log.transport("caller")
    turn.write(provider, b"request", provider)
    turn.write(caller, b"answer")
    turn.end()
    assert log == ["provider refused: journal proxy nothing disk full", "caller answer"]


@pytest.mark.parametrize("size", [10, 100_000])
async def test_request_that_cannot_be_journaled_never_reaches_the_provider(size: int) -> None:
    """Small or large; the failure says that nothing was sent, and the next request goes out once the disk is back."""
    got: list[bytes] = []

    async def script(line: Line) -> None:
        head = await line.head()
        if head:
            got.append(head)
            await line.write(OK)

    turn = WriteBatch()
    upstream = NativeUpstream(turn)
    refusals = ["disk full", ""]
    turn.commit = lambda: refusals[0]
    body = [b"x" * size]
    async with Peer(script) as peer:
        with pytest.raises(AttemptFailed) as caught:
            await (await upstream.open(target_of(peer), head_for(size), body)).head()
        failure = caught.value.failure
        assert (failure.kind, failure.source, failure.sent) == (Kind.JOURNAL, Source.PROXY, Sent.NOTHING)
        assert got == []
        del refusals[0]
        exchange = await upstream.open(target_of(peer), head_for(1), [b"x"])
        assert await exchange.head()
        assert len(got) == 1
        await upstream.aclose()


@pytest.mark.parametrize("is_joined", [True, False])
async def test_settlement_is_in_the_kernel_when_the_caller_has_its_answer(tmp_path: Path, is_joined: bool) -> None:
    """And the wrong variant: a journal whose lines nobody commits with the turn is behind the answer."""
    journal = Journal.open(str(tmp_path), "node", 1)
    turn = WriteBatch()
    journal.join(turn)
    if not is_joined:
        turn.commit = lambda: ""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"][WRITE_BATCH] = turn
            for said in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{said}.complete"})
            return
        journal.intent(intent(1))
        journal.settle(record(1, journal.next_seq()))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok", "more_body": False})

    def settled() -> bool:
        return any(b'{"s":' in path.read_bytes() for path in tmp_path.rglob("*.log"))

    server, port = Server(app, connections_max=3), free_port()
    serving = asyncio.ensure_future(server.serve("127.0.0.1", port, 16))
    await until(lambda: server.is_listening)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert not settled()
    writer.write(b"GET / HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n")
    assert (await reader.read(-1)).endswith(b"ok")
    assert settled() == is_joined
    writer.close()
    server.stop()
    await serving
    journal.close()


def joined(disk: RememberingDisk, *, takes_answers: bool = True) -> tuple[Journal, WriteBatch]:
    journal, turn = open_journal(disk), WriteBatch()
    turn.takes_answers = takes_answers
    journal.join(turn)
    return journal, turn


def writes(disk: RememberingDisk) -> int:
    return sum(call == "write" for call, _ in disk.trace)


async def test_journal_writes_a_turn_at_once() -> None:
    """Intents and settlements of one turn are one write; a crash before it loses all of them, and one after it none."""
    disk = RememberingDisk()
    journal, turn = joined(disk)
    before = writes(disk)
    for number in (1, 2, 3):
        journal.intent(intent(number))
    journal.settle(record(1, journal.next_seq()))
    assert writes(disk) == before
    assert recovered(disk.after_kill()) == []
    turn.end()
    assert writes(disk) == before + 1
    found = [(one.gen_id, one.end_reason) for one in recovered(disk.after_kill())]
    assert found == [(gen_id(1), "completed"), (gen_id(2), "orphaned"), (gen_id(3), "orphaned")]


@pytest.mark.parametrize("takes_answers", [True, False])
async def test_settlement_waits_for_the_turn_only_where_answers_do(takes_answers: bool) -> None:
    """Under a foreign server the answer may be gone before the turn ends; under ours the turn ends though nobody writes."""
    disk = RememberingDisk()
    journal, _ = joined(disk, takes_answers=takes_answers)
    journal.intent(intent(1))
    journal.settle(record(1, journal.next_seq()))
    settled = [gen_id(1)]
    assert [one.gen_id for one in recovered(disk.after_kill())] == ([] if takes_answers else settled)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [one.gen_id for one in recovered(disk.after_kill())] == settled


async def test_sync_covers_what_the_turn_still_keeps() -> None:
    """Shippable is only what is on the medium, and a sync in the middle of a turn says so of nothing else."""
    disk = RememberingDisk()
    journal, _ = joined(disk)
    journal.intent(intent(1))
    journal.settle(record(1, journal.next_seq()))
    assert journal.sync_now()
    assert journal.shippable_seq == 1
    for seed in range(10):
        assert [one.gen_id for one in recovered(disk.after_power_cut(random.Random(seed)))] == [gen_id(1)]


@pytest.mark.parametrize("short_bytes", [None, 0, 1, 300, 700])
async def test_turn_that_the_disk_refuses_keeps_every_settlement(short_bytes: int | None) -> None:
    """Whole or in part: nothing may be dispatched, and when the disk is back all is there, in order, once."""
    disk = FaultyDisk()
    journal, turn = joined(disk)
    journal.intent(intent(1))
    journal.intent(intent(2))
    turn.end()
    journal.settle(record(1, journal.next_seq()))
    journal.intent(intent(3))
    if short_bytes is None:
        disk.refuse["write"] = errno.ENOSPC
    else:
        disk.short_bytes = short_bytes
    assert journal.commit()
    journal.settle(record(2, journal.next_seq()))
    journal.settle(record(3, journal.next_seq(), completion=0))
    assert journal.commit(), "nothing is dispatched until the journal has begun anew"
    disk.refuse.clear()
    assert journal.sync_now()
    assert journal.commit() == ""
    assert [one.gen_id for one in journal.read_records(1, ALL, ALL)] == [gen_id(1), gen_id(2), gen_id(3)]
    found = [(one.gen_id, one.seq, one.end_reason) for one in recovered(disk.after_kill())]
    assert found == [(gen_id(number), number, "completed") for number in (1, 2, 3)]


async def test_what_waited_for_the_disk_is_written_before_what_came_last() -> None:
    """A settlement put in the very turn in which the disk comes back stands behind the older ones, as readers expect."""
    disk = FaultyDisk()
    journal, turn = joined(disk)
    for number in (1, 2, 3):
        journal.intent(intent(number))
    turn.end()
    disk.refuse["write"] = errno.ENOSPC
    journal.settle(record(1, journal.next_seq()))
    assert journal.commit()
    keeper = journal._syncer
    job = keeper._begin()
    journal.settle(record(2, journal.next_seq()))
    assert journal.commit()
    disk.refuse.clear()
    job.run()
    journal.settle(record(3, journal.next_seq()))
    keeper._end(job, None)
    assert journal.commit() == ""
    text = disk.read(journal._log.head.path, 0, ALL)
    assert re.findall(rb'"seq":(\d+)', text) == [b"1", b"2", b"3"]


async def test_nothing_is_appended_behind_a_commit_that_failed() -> None:
    """Not even a progress mark: the segment ends where the disk refused."""
    disk = FaultyDisk()
    journal, turn = joined(disk)
    journal.intent(intent(1))
    turn.end()
    journal.settle(record(2, journal.next_seq()))
    disk.short_bytes = 5
    journal.progress(gen_id(1), Tokens(prompt=1, completion=1))
    turn.end()
    assert journal.failure
    journal.progress(gen_id(1), Tokens(prompt=1, completion=2))
    assert (journal.marks_shed_total, journal.running_intents) == (1, 1)
    assert journal.sync_now()
    assert journal.commit() == ""
    found = [(one.gen_id, one.end_reason) for one in recovered(disk.after_kill())]
    assert found == [(gen_id(2), "completed"), (gen_id(1), "orphaned")]


async def test_work_for_a_thread_that_has_ended_is_refused() -> None:
    """Rather than waited for, for ever."""
    worker = SyncWorker("test")
    await worker.run(lambda: None)
    worker.close()
    with pytest.raises(RuntimeError, match="after shutdown"):
        await worker.run(lambda: None)


class Gone:
    """A caller who has left already."""

    is_gone = says_no_more = True
    on_leave: Callable[[], None] | None = None
    task: asyncio.Task[None] | None = None


async def test_caller_who_left_before_anybody_listened_is_gone() -> None:
    """The first look of the watch finds it, and no later callback would."""
    watch = Watchdog(Tasks(), LiveLimits())

    async def receive() -> Message:
        raise AssertionError("the caller tells without being asked")

    async def send(message: Message) -> None:
        raise AssertionError("nobody is answered")

    context = RequestContext(receive, send, Gone(), None, 0.0, 0.0, 0.0)
    watch.look_at(context, 1.0)
    assert context.cancel_reason is CancelReason.CALLER_LEFT


@pytest.mark.parametrize(
    "problem", [SystemExit(3), KeyboardInterrupt(), MemoryError(), asyncio.CancelledError(), ValueError("x")]
)
async def test_journal_thread_outlives_whatever_a_job_raises(problem: BaseException) -> None:
    """Nothing would become durable any more, in silence: the job fails as the disk would, and the next one is done."""
    worker = SyncWorker("test")

    def fail() -> None:
        raise problem

    with pytest.raises((OSError, MemoryError, ValueError)):
        await worker.run(fail)
    done: list[int] = []
    await worker.run(lambda: done.append(1))
    assert done == [1]
    worker.close()
