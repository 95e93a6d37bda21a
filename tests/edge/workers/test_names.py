"""`Idempotency-Key` among workers: one carries it out, all know what became of it, and a death is no licence to buy again."""

import fcntl
import multiprocessing
import os
import random
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.relay.idempotency import KEPT_S, IdempotencyClaim, IdempotencyKeys, KeptAnswer
from edge.workers import names
from edge.workers.names import SharedIdempotencyKeys
from routing.plan.refusal import Denied

WAIT_S = 20.0
Workers = tuple[SharedIdempotencyKeys, SharedIdempotencyKeys]


@pytest.fixture
def workers(tmp_path: Path) -> Workers:
    """Two, as far as locks go: each has descriptors of its own."""
    return SharedIdempotencyKeys(tmp_path / "names"), SharedIdempotencyKeys(tmp_path / "names")


def asked(keys: IdempotencyKeys, name: bytes = b"n", body: bytes = b"b" * 32, gen_id: str = "gen-1", now_s: float = 0.0) -> Any:
    """The claim, the answer, or the code of the refusal."""
    try:
        return keys.claim("d", "a", name, body, gen_id, now_s)
    except Denied as denied:
        return denied.refusal.code, denied.gen_id


def files(workers: Workers) -> list[Path]:
    return list(workers[0]._folder.iterdir())


def test_name_of_another_worker(workers: Workers) -> None:
    """Under way there, then bought there; with another body it is another request; the answer is its buyer's to tell again."""
    here, there = workers
    first = asked(here)
    assert isinstance(first, IdempotencyClaim)
    assert asked(there, gen_id="gen-2") == ("idempotency_in_progress", "gen-1")
    assert asked(there, body=b"c" * 32) == ("idempotency_key_reused", "gen-1")
    (path,) = files(workers)
    os.utime(path, (1.0, 1.0))  # it takes long, and is kept from its end
    first.keep(200, [], b"answer", 1.0)
    first.end()
    assert asked(there, gen_id="gen-2") == ("idempotency_completed", "gen-1")
    assert asked(there, body=b"c" * 32) == ("idempotency_key_reused", "gen-1")
    assert isinstance(asked(here), KeptAnswer)
    assert isinstance(asked(there, name=b"another"), IdempotencyClaim)


def test_name_that_bought_nothing_is_free_for_all(workers: Workers) -> None:
    """The retry of a request that failed is carried out by whoever gets it, and nothing is left of it."""
    here, there = workers
    for keys in (here, there, here):
        asked(keys).end()
    assert files(workers) == []
    assert len(here) == len(there) == 0


def test_name_of_a_worker_that_died(workers: Workers) -> None:
    """Nobody knows whether it bought: it is not bought again, until it is as old as nobody has to know."""
    here, there = workers
    claim = asked(here)
    os.close(here._locks.pop(claim.entry.id))
    assert asked(there, gen_id="gen-2") == ("idempotency_completed", "gen-1")
    (path,) = files(workers)
    os.utime(path, (time.time() - KEPT_S - 1, time.time() - KEPT_S - 1))
    assert isinstance(asked(there, gen_id="gen-2"), IdempotencyClaim)
    assert asked(here, name=b"x", gen_id="gen-3")


def test_name_that_is_under_way_is_never_too_old(workers: Workers) -> None:
    """However long a request takes, it is the one."""
    here, there = workers
    assert isinstance(asked(here), IdempotencyClaim)
    (path,) = files(workers)
    os.utime(path, (1.0, 1.0))
    assert asked(there, gen_id="gen-2") == ("idempotency_in_progress", "gen-1")
    SharedIdempotencyKeys(path.parent)
    assert files(workers) == [path]


def test_names_that_are_forgotten_leave_nothing(workers: Workers) -> None:
    """By their worker, which bounds them; and those of workers that are no more, at the next start."""
    here, there = workers
    for number in range(20):
        asked(here, name=b"%d" % number, gen_id=f"gen-{number}").spend(0.0)
    assert len(files(workers)) == 20
    asked(here, name=b"later", now_s=KEPT_S + 1.0).end()
    assert files(workers) == []
    asked(there).spend(0.0)
    (path,) = files(workers)
    os.utime(path, (1.0, 1.0))
    SharedIdempotencyKeys(path.parent)
    assert files(workers) == []


def test_name_that_cannot_be_written_is_not_carried_out(workers: Workers) -> None:
    """Without a place for it nobody else would know of it."""
    here, _ = workers
    here._folder.rmdir()
    assert asked(here) == ("journal_unavailable", "")
    assert len(here) == 0
    here._folder.mkdir()
    assert isinstance(asked(here), IdempotencyClaim)


def test_name_that_the_disk_has_no_room_for_leaves_nothing(workers: Workers) -> None:
    """Its file can be made and not written: no descriptor and no name stays behind, however often that is tried."""
    here, there = workers
    before, (soft, hard) = len(os.listdir("/proc/self/fd")), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        answers = {asked(here) for _ in range(3)}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert answers == {("journal_unavailable", "")}
    assert len(os.listdir("/proc/self/fd")) == before
    assert files(workers) == []
    assert isinstance(asked(there), IdempotencyClaim)


def test_name_that_is_just_being_taken_is_under_way(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made, and locked and written while somebody else looks at it: nothing was bought yet."""
    here, there = workers
    claim = asked(here)
    (path,) = files(workers)
    written = path.read_bytes()
    path.write_bytes(b"")
    fcntl.flock(here._locks[claim.entry.id], fcntl.LOCK_UN)
    look = names._locked

    def look_and_be_late(fd: int, how: int = fcntl.LOCK_SH) -> bool:
        found = look(fd, how)
        path.write_bytes(written)
        return found

    monkeypatch.setattr(names, "_locked", look_and_be_late)
    assert asked(there, gen_id="gen-2")[0] == "idempotency_in_progress"


def test_name_of_an_answer_that_still_goes_out_is_its_successors(workers: Workers) -> None:
    """A slow reader outlives what is kept: its end does not give away the lock of another request with the same name."""
    here, there = workers
    first = asked(here)
    first.keep(200, [], b"answer", 1.0)
    assert isinstance(asked(here, gen_id="gen-2", now_s=1.0 + KEPT_S), IdempotencyClaim)
    first.spend(2.0 + KEPT_S)
    first.end()
    assert asked(there, gen_id="gen-3") == ("idempotency_in_progress", "gen-2")


def race(folder: Path, seed: int, count: int, began: Any, found: Any) -> None:
    """One worker: every name, in an order of its own; some of what it gets buys, some does not."""
    keys, dice = SharedIdempotencyKeys(folder), random.Random(seed)
    order = dice.sample(range(count), count)
    began.wait(WAIT_S)
    for number in order:
        claim = asked(keys, name=b"%d" % number, gen_id=f"gen-{seed}-{number}")
        if isinstance(claim, IdempotencyClaim):
            if dice.random() < 0.8:
                found.put((number, seed))
                claim.spend(0.0)
            claim.end()


@pytest.mark.parametrize(
    ("start", "workers"), [(multiprocessing.get_context("spawn").Process, 2), (threading.Thread, 4)], ids=["processes", "threads"]
)
def test_names_that_all_workers_want_at_once(tmp_path: Path, start: Callable[..., Any], workers: int) -> None:
    """Whoever comes first: no name buys twice, whatever the order in which workers come, buy and give up."""
    context = multiprocessing.get_context("spawn")
    began, found, count = context.Barrier(workers), context.Queue(), 200
    racing = [start(target=race, args=(tmp_path / "names", seed, count, began, found)) for seed in range(workers)]
    for each in racing:
        each.start()
    bought = []
    while any(each.is_alive() for each in racing) or not found.empty():
        while not found.empty():
            bought.append(found.get())
        time.sleep(0.01)
    assert len(bought) == len({number for number, _ in bought})
    assert len(bought) > count * 0.7
