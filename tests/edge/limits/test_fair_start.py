"""Who begins next when the loop is late: accounts take turns, and a flood waits behind itself."""

import asyncio
import contextlib
import gc
import itertools
import threading
import weakref
from functools import partial
from time import monotonic

import pytest

from edge.limits.fair_start import ASIDE_BYTES, AT_ONCE, LARGE_BYTES, TURN_S, WAITING_MAX, Aside, FairStart
from edge.write_batch import WriteBatch
from routing.plan.refusal import Denied
from routing.request.invalid import Invalid
from tests.patience import PATIENCE_S, until

pytestmark = pytest.mark.anyio


class Turn(WriteBatch):
    """A turn that has gone on for as long as a test says."""

    def be_late(self) -> None:
        self.is_due, self.due_s = True, monotonic() - 2 * TURN_S


@pytest.fixture
def turn() -> Turn:
    return Turn()


async def begin(starts: FairStart, account: str, log: list[str], key: str = "") -> None:
    if starts.is_late(now_s := monotonic()):
        await starts.wait(account, key or account, now_s)
    log.append(key or account)


async def test_loop_that_keeps_up_asks_nobody_to_wait(turn: Turn) -> None:
    """Nothing is due, or has been for a moment only: no request costs more than the look."""
    starts = FairStart(turn)
    assert not starts.is_late(monotonic())
    turn.is_due, turn.due_s = True, monotonic()
    assert not starts.is_late(turn.due_s + TURN_S / 2)
    assert starts.is_late(turn.due_s + TURN_S * 2)


async def test_account_begins_one_in_a_late_turn_and_the_rest_waits(turn: Turn) -> None:
    """A caller beside a flood begins at once, also while the flood waits; the flood keeps its order and takes its turns."""
    starts, log = FairStart(turn), list[str]()
    turn.be_late()
    async with asyncio.TaskGroup() as group:
        for _ in range(5 * AT_ONCE):
            group.create_task(begin(starts, "flood", log))
        for account in ("a", "b"):
            group.create_task(begin(starts, account, log))
        await asyncio.sleep(0)
        assert log == ["flood", "a", "b"]
        assert starts.waiting == 5 * AT_ONCE - 1
        turn.is_due = False
        group.create_task(begin(starts, "c", log))
        await asyncio.sleep(0)
        assert "c" in log[: 3 + AT_ONCE + 1], "nobody else waits behind them"
    assert log.count("flood") == 5 * AT_ONCE
    assert not starts.waiting
    assert not starts.is_late(monotonic())


async def test_accounts_that_wait_take_turns(turn: Turn) -> None:
    """Whoever has little waits for little, whatever the others have."""
    starts, log = FairStart(turn), list[str]()
    turn.be_late()
    async with asyncio.TaskGroup() as group:
        for account, count in (("large", 100), ("small", 5)):
            for _ in range(count):
                group.create_task(begin(starts, account, log))
    assert max(at for at, account in enumerate(log) if account == "small") <= 2 * 5 + 2


async def test_keys_of_an_account_take_turns(turn: Turn) -> None:
    """A key that floods does not starve the other keys of its account, nor do two keys have two turns beside other accounts."""
    starts, log = FairStart(turn), list[str]()
    turn.be_late()
    async with asyncio.TaskGroup() as group:
        for key, count in (("large", 100), ("small", 5)):
            for _ in range(count):
                group.create_task(begin(starts, "one", log, key))
        for _ in range(5):
            group.create_task(begin(starts, "two", log))
    assert max(at for at, name in enumerate(log) if name == "small") <= 4 * 5 + 4
    assert max(at for at, name in enumerate(log) if name == "two") <= 2 * 5 + 4, "the account has one turn, whatever its keys"


async def test_key_leaves_room_for_the_others_of_its_account(turn: Turn) -> None:
    """One that has as many waiting as it may is refused, while another key of the account is not."""
    starts, log = FairStart(turn), list[str]()
    turn.be_late()
    tasks = [asyncio.create_task(begin(starts, "one", log, "large")) for _ in range(WAITING_MAX)]
    tasks += [asyncio.create_task(begin(starts, "one", log, "small")) for _ in range(20)]
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(one is None for one in ended[WAITING_MAX:])
    assert any(isinstance(one, Denied) for one in ended[:WAITING_MAX])
    assert log.count("large") >= WAITING_MAX * 3 // 4


async def test_waiting_that_is_cancelled_costs_nobody_a_turn(turn: Turn) -> None:
    """One that was cancelled is passed over, and the next has its place."""
    starts, log = FairStart(turn), list[str]()
    turn.be_late()
    tasks = [asyncio.create_task(begin(starts, "flood", log)) for _ in range(4 * AT_ONCE)]
    await asyncio.sleep(0)
    for task in tasks[1 : 3 * AT_ONCE]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(log) == AT_ONCE + 1
    assert not starts.waiting


async def test_account_has_a_bound_of_waiting(turn: Turn) -> None:
    """Beyond it a request is told at once, whatever key it has, and those that wait are not."""
    starts, log = FairStart(turn), list[str]()
    turn.be_late()
    tasks = [asyncio.create_task(begin(starts, "flood", log, str(number))) for number in range(WAITING_MAX + 2)]
    await asyncio.sleep(0)
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [one for one in ended if one is not None]
    assert 1 <= len(refused) <= 3
    assert isinstance(refused[0], Denied)
    assert (refused[0].refusal.status, refused[0].refusal.retry_after_s) == (503, 1.0)
    assert len(log) == WAITING_MAX + 2 - len(refused)


async def test_large_bodies_are_sent_one_in_a_turn(turn: Turn) -> None:
    """Seven that are sent on at once do not make one turn of seven times as long."""
    starts, log = FairStart(turn), list[str]()

    async def read(name: str) -> None:
        await starts.wait_for_large()
        log.append(name)

    async def look() -> None:
        while len([one for one in log if one != "turn"]) < 7:
            log.append("turn")
            await asyncio.sleep(0)

    await asyncio.gather(*(read(str(number)) for number in range(7)), look())
    read_at = [at for at, one in enumerate(log) if one != "turn"]
    assert [log[at] for at in read_at] == [str(number) for number in range(7)]
    assert all(later - earlier > 1 for earlier, later in itertools.pairwise(read_at))


async def test_large_bodies_are_computed_one_at_a_time_beside_the_loop() -> None:
    """The loop goes on meanwhile: what is computed waits for it here. A body between goes beside them, a small one nowhere."""
    aside, begun, goes_on = Aside(), list[str](), threading.Event()
    loop, loops_thread = asyncio.get_running_loop(), threading.get_ident()
    has_begun = asyncio.Event()

    def compute(name: str) -> str:
        assert threading.get_ident() != loops_thread
        begun.append(name)
        loop.call_soon_threadsafe(has_begun.set)
        assert goes_on.wait(PATIENCE_S), "the loop does not go on"
        return name

    first, second = (asyncio.create_task(aside.run(LARGE_BYTES, partial(compute, name))) for name in ("first", "second"))
    await has_begun.wait()
    has_begun.clear()
    between = asyncio.create_task(aside.run(ASIDE_BYTES, partial(compute, "between")))
    await has_begun.wait()
    assert begun == ["first", "between"]
    assert await aside.run(ASIDE_BYTES - 1, threading.get_ident) == loops_thread
    goes_on.set()
    assert [await task for task in (first, second, between)] == ["first", "second", "between"]


async def test_body_whose_request_has_ended_is_computed_before_the_next() -> None:
    """Or the bodies of those that leave would be held without being counted."""
    aside, log, goes_on = Aside(), list[str](), threading.Event()
    loop, has_begun = asyncio.get_running_loop(), asyncio.Event()

    def compute() -> None:
        loop.call_soon_threadsafe(has_begun.set)
        assert goes_on.wait(PATIENCE_S)
        log.append("left")
        raise Invalid("nobody hears of it")

    left = asyncio.create_task(aside.run(LARGE_BYTES, compute))
    await has_begun.wait()
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    following = asyncio.create_task(aside.run(LARGE_BYTES, lambda: log.append("following")))
    await asyncio.sleep(0)
    assert not log
    goes_on.set()
    await following
    assert log == ["left", "following"]


async def test_what_is_wrong_with_a_large_body_is_raised() -> None:
    """As it would be with a small one."""

    def compute() -> None:
        raise Invalid("it is wrong")

    with pytest.raises(Invalid, match="it is wrong"):
        await Aside().run(LARGE_BYTES, compute)


async def test_what_was_raised_is_gone_with_who_heard_it() -> None:
    """What a traceback holds, the whole body, does not wait for a garbage collection: 8 MiB each, that was a gigabyte."""
    aside, held = Aside(), weakref.WeakSet[Exception]()

    class Watched(Invalid):
        def __init__(self) -> None:
            super().__init__("it is wrong")
            held.add(self)

    def compute() -> None:
        raise Watched

    gc.disable()
    try:
        for _ in range(3):
            with contextlib.suppress(Watched):
                await aside.run(LARGE_BYTES, compute)
        await until(lambda: not held)
    finally:
        gc.enable()
