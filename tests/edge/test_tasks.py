"""The spawner of tasks: names, exceptions that are seen, an end in time."""

import asyncio

import pytest

from edge.tasks import Tasks


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
