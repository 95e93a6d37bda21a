"""What becomes of a place whose worker dies, is replaced or cannot be started: with real processes that serve nobody."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edge.drain import LEFT
from edge.settings import ADMIN_FD, Settings
from edge.workers import supervisor as supervisor_module
from edge.workers import worker as worker_module
from edge.workers.supervisor import Slot, Supervisor
from edge.workers.worker import Worker
from tests.patience import until
from tests.ports import free_port
from tests.processes import is_running

SERVES = f"""
import os, pathlib, socket, sys, time
if sys.argv[2] == "journal":
    (pathlib.Path(sys.argv[1]) / "began").write_text(str(os.getpid()))
    time.sleep(600)
listening = socket.socket(fileno=int(os.environ["{ADMIN_FD}"]))
listening.setblocking(True)
while True:
    asking, _ = listening.accept()
    asking.recv(9999)
    is_ready = (pathlib.Path(sys.argv[1]) / "ready").exists()
    asking.sendall(b"HTTP/1.1 %d -\\r\\ncontent-length: 0\\r\\n\\r\\n" % (200 if is_ready else 503))
    asking.close()
"""
Story = Callable[[Supervisor, Slot], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let a story happen to a supervisor of one place; its workers run `command`."""

    def run(story: Story, *command: str) -> None:
        words = command or (sys.executable, "-c", SERVES, str(tmp_path))
        for module in (worker_module, supervisor_module):
            monkeypatch.setattr(module, "command", lambda: words)
        settings = Settings.read({"TOLLWAY_DATA": str(tmp_path), "HOST": "127.0.0.1", "PORT": str(free_port())})

        async def live() -> None:
            supervisor = Supervisor(settings, "edge", 1, (tmp_path / "listening").touch)
            (slot,) = supervisor._slots
            try:
                await story(supervisor, slot)
            finally:
                supervisor._stop(signal.SIGKILL)
                await until(lambda: not supervisor._running)
                await supervisor._tasks.drain(0.0)
                slot.callers.close()

        asyncio.run(live())

    return run


def test_worker_that_dies_and_begins_again_during_an_upgrade_is_replaced(play: Callable[..., None], tmp_path: Path) -> None:
    """Whoever is in the place when the new one is ready leaves it, also when it is not who was there when the upgrade began."""

    async def story(supervisor: Supervisor, slot: Slot) -> None:
        slot.current = old = await supervisor._launch(slot, is_second=False)
        replacing = asyncio.create_task(supervisor._replace(slot))
        await until(lambda: len(supervisor._running) == 2)
        old.send(signal.SIGKILL)
        await until(lambda: slot.current is not old)
        (tmp_path / "ready").touch()
        assert await replacing
        assert slot.current is not None
        assert slot.current.name == "edge@0b"
        await until(lambda: list(supervisor._running) == [slot.current])

    play(story)


def test_worker_that_begins_again_takes_no_place_from_an_upgrade(play: Callable[..., None]) -> None:
    """It waited for its folder, in which somebody shipped, until another had its place: it goes."""

    async def story(supervisor: Supervisor, slot: Slot) -> None:
        async with supervisor._in_use["edge@0"]:
            slot.current = dead = Worker("edge@0", supervisor._settings.data, is_second=False)
            dead._admin.close()
            beginning = asyncio.create_task(supervisor._restart(slot, dead, 1, 0.0))
            await until(lambda: slot.rest)
            supervisor._fill(slot, upgraded := await supervisor._launch(slot, is_second=True))
            await asyncio.sleep(0)
        await beginning
        assert slot.current is upgraded
        await until(lambda: list(supervisor._running) == [upgraded])

    play(story)


def test_place_that_nobody_can_work_in_takes_no_callers(play: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    """Its socket is closed, or callers would wait where nobody accepts: no process can be made, or an upgrade of it does not
    become ready."""

    async def no_process(supervisor: Supervisor, slot: Slot) -> None:
        slot.current = dead = Worker("edge@0", supervisor._settings.data, is_second=False)
        dead._admin.close()
        supervisor._tasks.spawn("restart", supervisor._restart(slot, dead, 1, 0.0))
        await until(lambda: "cannot be started now" in caplog.text)
        assert slot.callers.fileno() < 0

    async def not_ready(supervisor: Supervisor, slot: Slot) -> None:
        slot.current = dead = Worker("edge@0", supervisor._settings.data, is_second=False)
        dead._admin.close()
        slot.rest = "it ended with status 1, 2 times in a row"
        slot.callers.close()
        assert not await supervisor._replace(slot)
        assert slot.callers.fileno() < 0

    play(no_process, "/nowhere/tollway")
    play(not_ready, sys.executable, "-c", "")


def test_ship_is_ended_with_its_supervisor_and_said_to_be_left(play: Callable[..., None], tmp_path: Path) -> None:
    """The next start needs the folder, and whoever reads the exit status knows that something lies there."""

    async def story(supervisor: Supervisor, slot: Slot) -> None:
        supervisor._tasks.spawn("ship", supervisor._ship("edge", tmp_path))
        await until(lambda: (tmp_path / "began").exists() and (tmp_path / "began").read_text())
        pid = int((tmp_path / "began").read_text())
        supervisor._stopped.set()
        await supervisor._tasks.drain(0.0)
        assert supervisor._has_left
        await until(lambda: not is_running(pid))

    play(story)


def test_callers_are_said_to_be_served_when_somebody_is_there(play: Callable[..., None], tmp_path: Path) -> None:
    """While every place rests, nobody is told that this machine serves."""

    async def story(supervisor: Supervisor, slot: Slot) -> None:
        slot.rest = "it ended with status 1, 2 times in a row"
        telling = asyncio.create_task(supervisor._say_listening())
        await asyncio.sleep(0)
        assert not (tmp_path / "listening").exists()
        slot.rest = ""
        slot.callers.listen()
        await telling
        assert (tmp_path / "listening").exists()

    play(story)


def test_upgrade_that_is_asked_for_twice_is_one(
    play: Callable[..., None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two SIGUSR2 in short order: one new worker, and the second is told that an upgrade runs. A third, while the old one still
    lets its requests end, waits for a better time; the place keeps who is there."""

    async def story(supervisor: Supervisor, slot: Slot) -> None:
        slot.current = old = await supervisor._launch(slot, is_second=False)
        supervisor._begin_upgrade()
        await until(lambda: len(supervisor._running) == 2)
        old.send(signal.SIGSTOP)  # it hears of nothing: as one with a long stream
        supervisor._begin_upgrade()
        assert "an upgrade runs already" in caplog.text
        (tmp_path / "ready").touch()
        await until(lambda: slot.current is not old)
        assert supervisor._upgrade is not None
        await supervisor._upgrade
        supervisor._begin_upgrade()
        await supervisor._upgrade
        assert "edge@0 of the upgrade before still lets its requests end" in caplog.text
        assert slot.current is not None
        assert slot.current.name == "edge@0b"
        assert len(supervisor._running) == 2
        old.send(signal.SIGCONT)
        await until(lambda: list(supervisor._running) == [slot.current])

    play(story)


@pytest.mark.parametrize("status", [0, LEFT])
def test_supervisor_that_is_told_to_stop_during_an_upgrade_ends_both(
    play: Callable[..., None], tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """SIGTERM while the new worker is not ready yet: the old one and the new one end, no third begins, and the upgrade does not
    say that they run on. Something is said to be left only where something is."""
    if status:
        (tmp_path / "w0" / "journal" / "edge@0" / "7").mkdir(parents=True)

    async def story(supervisor: Supervisor, slot: Slot) -> None:
        slot.current = await supervisor._launch(slot, is_second=False)
        supervisor._begin_upgrade()
        await until(lambda: len(supervisor._running) == 2)
        supervisor._stop(signal.SIGTERM)
        assert supervisor._upgrade is not None
        await supervisor._upgrade
        await until(lambda: not supervisor._running)
        assert "given up at worker 0" in caplog.text
        assert "run on as they were" not in caplog.text
        assert supervisor._has_left is bool(status)

    play(story)
