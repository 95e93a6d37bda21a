"""The spawner of tasks: names, exceptions that are seen, an end in time."""

import asyncio
import time

import pytest

from edge.tasks import FAILING_S, Tasks
from tests.patience import PATIENCE_S, until


@pytest.mark.anyio
async def test_task_result_and_name() -> None:
    """A spawned task has its name and may be awaited; when it has ended, nobody holds it."""
    tasks = Tasks()

    async def answer() -> int:
        return 42

    task = tasks.spawn("answer", answer())
    assert repr(tasks) == "<Tasks ['answer']>"
    assert await task == 42
    assert len(tasks) == 0


@pytest.mark.anyio
async def test_task_exception_is_logged_by_name(caplog: pytest.LogCaptureFixture) -> None:
    """An exception that nobody awaits is reported under the task's name."""
    tasks = Tasks()

    async def break_down() -> None:
        raise RuntimeError("no")

    tasks.spawn("fragile", break_down())
    assert await tasks.drain(1)
    [entry] = caplog.records
    assert entry.getMessage() == "task fragile ended with an exception"


@pytest.mark.anyio
async def test_drain_cancels_what_is_late(caplog: pytest.LogCaptureFixture) -> None:
    """What does not end in time is cancelled and waited for, and a cancellation is no error."""
    tasks = Tasks()
    ended = asyncio.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    tasks.spawn("patient", wait_for_ever())
    assert not await tasks.drain(0.01)
    assert ended.is_set()
    assert caplog.records == []
    assert await tasks.drain(0)


@pytest.mark.anyio
async def test_supervised_task_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    """One failure is logged with its reason and counted, and readiness does not hear of it."""
    tasks, starts, runs = Tasks(), 0, asyncio.Event()

    async def work() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise RuntimeError("no")
        runs.set()
        await asyncio.Event().wait()

    tasks.supervise("worker", work)
    await asyncio.wait_for(runs.wait(), PATIENCE_S)
    assert tasks.restarts == {"worker": 1}
    assert tasks.failing() == []
    [entry] = caplog.records
    assert entry.getMessage() == "task worker failed (RuntimeError: no) and is started again"
    assert not await tasks.drain(0)


@pytest.mark.anyio
async def test_supervised_task_that_keeps_failing_is_named() -> None:
    """Not at the first failure, but when they have come for two seconds; the pauses between its starts grow."""
    tasks, began_s = Tasks(), time.monotonic()

    async def work() -> None:
        raise KeyError("x")

    tasks.supervise("worker", work)
    await until(tasks.failing)
    assert time.monotonic() - began_s >= FAILING_S
    assert tasks.failing() == ["task worker fails: KeyError: 'x'"]
    assert tasks.restarts["worker"] < 12
    await tasks.drain(0)


@pytest.mark.anyio
async def test_supervised_task_survives_a_cancellation_that_is_not_ours() -> None:
    """A CancelledError that leaks out of a library is a failure; our own cancellation is the end."""
    tasks, starts = Tasks(), 0

    async def work() -> None:
        nonlocal starts
        starts += 1
        if starts < 3:
            raise asyncio.CancelledError
        await asyncio.Event().wait()

    task = tasks.supervise("worker", work)
    await until(lambda: starts == 3)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert tasks.restarts["worker"] == 2


@pytest.mark.anyio
async def test_supervised_task_that_returns_is_over() -> None:
    """It was told to end."""
    tasks = Tasks()

    async def work() -> None:
        pass

    await tasks.supervise("worker", work)
    assert tasks.restarts == {}
