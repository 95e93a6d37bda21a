"""`tollway serve --workers N`: keeps N workers running on one port, replaces them without a gap, and ends with them.

Rule: nothing that callers or money need runs here; a supervisor that dies takes nothing along but its workers' further life.
Signals: SIGTERM and SIGINT are passed on, and a second one hurries; SIGHUP reloads every worker's table; SIGUSR2 starts a new
generation beside the old one, worker by worker: what is on disk now (a new release) takes over when it is ready, and the old
worker lets its requests end. One that does not become ready is ended, and the old one stays.
Rule: what a worker left in its folder that nobody goes on with, however it ended, and what an earlier start left that had other
workers, is shipped by `tollway journal ship` at once, not at some next start.
Rule: callers are led to who serves them. A worker that dies is started at once, and its waiting callers wait for that; where one
dies again and again, its place takes no callers until the next one listens. One that hangs is ended like one that died.
Limits: the embedded collector is one process; workers need one to talk to (TOLLWAY_COLLECTOR_URL).
"""

import asyncio
import logging
import signal
import socket
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec
from starlette.routing import Router

from edge.data_folder import locked, node_name
from edge.downstream.server import Server
from edge.drain import LEFT
from edge.serve import BACKLOG, port_held
from edge.settings import SettingError, Settings
from edge.systemd import READY, STOPPING, notify
from edge.tasks import Tasks
from edge.workers.admin import routes
from edge.workers.leftovers import SHIP_PAUSE_S, SHIP_TRIES, has_epochs, left_behind
from edge.workers.worker import LOOK_S, SILENCES_MAX, Worker, command, environment, listening

RESTART_S, RESTART_S_MAX = 0.5, 30.0
STEADY_S = 60.0
"""A worker that ran this long is restarted at once again."""
READY_S_MAX = 60.0
JOIN_S_MAX, UPGRADE_JOIN_S_MAX = 10, 120
"""How long a worker waits for the collector before it listens: one that listens and cannot serve yet would refuse callers whom
the others serve. The new one of an upgrade shares the old one's callers, so it takes none before it can serve."""
CONNECTIONS_MAX = 64
log = logging.getLogger("tollway.supervisor")


def supervise(settings: Settings, count: int, on_listening: Callable[[], None]) -> int:
    """Run until told to stop; the exit status. SettingError, StartProblem, PortTaken: nothing was started."""
    if settings.collector_url is None:
        raise SettingError(
            "--workers needs a collector that all of them share: start one with `tollway collector`, and set"
            " TOLLWAY_COLLECTOR_URL and TOLLWAY_NODE_TOKEN"
        )
    if settings.server != "native":
        raise SettingError(f"--workers shares one port between processes, which TOLLWAY_SERVER={settings.server} does not")
    with locked(settings.data), port_held(settings.host, settings.port):
        node = node_name(settings)
        return asyncio.run(Supervisor(settings, node, count, on_listening).run())


class Slot(msgspec.Struct, eq=False):
    """A place for a worker: the callers' socket that stays open as long as the supervisor lives, and who works there now."""

    number: int
    callers: socket.socket
    current: Worker | None = None
    failures: int = 0
    """Deaths in a row of workers that ran for less than STEADY_S."""
    rest: str = ""
    """Why nobody works there now; empty while somebody does."""


class Supervisor:
    """The slots, who is in them, and what signals do."""

    def __init__(self, settings: Settings, node: str, count: int, on_listening: Callable[[], None]) -> None:
        self._settings = settings
        self._slots = [Slot(number, self._open()) for number in range(count)]
        self._node = node
        self._on_listening = on_listening
        self._running: dict[Worker, asyncio.Task[None]] = {}
        self._stopped = asyncio.Event()
        self._upgrade: asyncio.Task[None] | None = None
        self._has_left = False
        self._restarts = 0
        self._tasks = Tasks()
        self._in_use: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """By name of a node: held while somebody ships what lies in its folder."""

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(signal.SIGUSR2, self._begin_upgrade)
        answers = routes(lambda: list(self._running), self._serving, self._rests, lambda: self._restarts)
        server = Server(Router(answers, redirect_slashes=False), CONNECTIONS_MAX)
        if self._settings.admin is not None:
            self._tasks.spawn("admin", self._serve_admin(server, *self._settings.admin))
        for slot in self._slots:
            slot.current = await self._launch(slot, is_second=False)
        self._tasks.spawn("listening", self._say_listening())
        self._tasks.spawn("watch", self._watch())
        for name, folder in left_behind(self._settings.data, self._node, {worker.name for worker in self._running}):
            log.warning("usage of %s, which does not run any more, is shipped now", name)
            self._tasks.spawn(f"ship {name}", self._ship(name, folder))
        await self._stopped.wait()
        while self._running:
            await asyncio.wait(self._running.values())
        server.stop()
        await self._tasks.drain(1.0)
        left = "; some left usage or credit for their next start" if self._has_left else ""
        log.log(logging.WARNING if left else logging.INFO, "all workers ended%s", left)
        return LEFT if left else 0

    # The life of workers.

    async def _launch(self, slot: Slot, *, is_second: bool) -> Worker:
        """A new worker for the slot; what follows from its end is seen to. OSError."""
        name = f"{self._node}@{slot.number}{'b' * is_second}"
        async with self._in_use[name]:
            if slot.callers.fileno() < 0:  # nobody worked there
                slot.callers = self._open()
            worker = Worker(name, self._settings.data, is_second=is_second)
            join_wait_s = JOIN_S_MAX if slot.current is None or slot.current.is_second == is_second else UPGRADE_JOIN_S_MAX
            await worker.start(slot.callers, len(self._slots), join_wait_s)
        self._running[worker] = self._tasks.spawn(worker.name, self._follow(slot, worker))
        if self._stopped.is_set():  # told to stop meanwhile
            worker.send(signal.SIGTERM)
        return worker

    async def _follow(self, slot: Slot, worker: Worker) -> None:
        began_s = time.monotonic()
        status = await worker.wait()
        is_stopping = self._stopped.is_set()
        if status and not is_stopping and slot.current is not worker and has_epochs(worker.data, worker.name):
            # However it ended: one that is killed while it lets its requests end leaves usage and a lease, too.
            self._tasks.spawn(f"ship {worker.name}", self._ship(worker.name, worker.data))
        # One that is told to stop before it could hear of it ends by the signal, and has nothing yet that it could leave.
        self._has_left |= is_stopping and (status == LEFT or (status != 0 and has_epochs(worker.data, worker.name)))
        if slot.current is worker and not is_stopping:
            self._tasks.spawn(f"restart {worker.name}", self._restart(slot, worker, status, time.monotonic() - began_s))
        del self._running[worker]

    async def _restart(self, slot: Slot, worker: Worker, status: int, ran_s: float) -> None:
        """The same worker again: its folder holds what the death left, and its start settles it."""
        slot.failures = 0 if ran_s > STEADY_S else slot.failures + 1
        pause_s = min(RESTART_S * 2**slot.failures, RESTART_S_MAX) if slot.failures > 1 else 0.0
        self._restarts += 1
        log.error("worker %s ended with status %d; another begins in %.1f s", worker.name, status, pause_s)
        slot.rest = f"it ended with status {status}, {slot.failures} times in a row; another begins within {pause_s:g} s"
        if pause_s:
            slot.callers.close()  # new callers go to the others meanwhile
        await self._wait(pause_s)
        while not self._stopped.is_set() and slot.current is worker:
            try:
                launched = await self._launch(slot, is_second=worker.is_second)
            except OSError as error:
                log.error("worker %s cannot be started now: %s", worker.name, error.strerror)
                slot.callers.close()
                await self._wait(RESTART_S_MAX)
            else:
                if slot.current is worker:
                    self._fill(slot, launched)
                else:  # an upgrade was sooner
                    launched.send(signal.SIGTERM)

    def _fill(self, slot: Slot, worker: Worker) -> None:
        slot.current, slot.rest = worker, ""

    def _open(self) -> socket.socket:
        """A place's socket for callers, bound: it takes callers from when a worker there listens. OSError."""
        family = socket.AF_INET6 if ":" in self._settings.host else socket.AF_INET
        return listening(family, (self._settings.host, self._settings.port), 0, is_shared=True)

    async def _watch(self) -> None:
        """End what hangs; its place is seen to as if it had died."""
        look_s = self._settings.worker_silent_s / (2 * SILENCES_MAX)
        while not self._stopped.is_set():
            await self._wait(look_s)
            workers = self._serving()
            for worker, hangs in zip(workers, await asyncio.gather(*(each.hangs(look_s) for each in workers)), strict=True):
                if hangs and not self._stopped.is_set():
                    log.error("worker %s answers nothing for %d s: it is ended", worker.name, self._settings.worker_silent_s)
                    worker.send(signal.SIGKILL)

    async def _ship(self, name: str, folder: Path) -> None:
        """What lies in the folder of a node that does not run, as soon as the collector takes it."""
        for _ in range(SHIP_TRIES):
            async with self._in_use[name]:
                if any(worker.name == name for worker in self._running):
                    return  # a worker of that name begins with what lies there
                if self._stopped.is_set():
                    self._has_left = True
                    return
                shipping = await asyncio.create_subprocess_exec(*command(), "journal", "ship", env=environment(name, folder))
                try:
                    if await shipping.wait() == 0:
                        return
                finally:
                    if shipping.returncode is None:  # told to stop: the next start finds all of it
                        self._has_left = True
                        shipping.kill()
                        await shipping.wait()
            await self._wait(SHIP_PAUSE_S)
        self._has_left = True
        hint = f"TOLLWAY_NODE={name} TOLLWAY_DATA={folder} tollway journal ship"
        log.error("what %s left is not shipped: `%s` does it", name, hint)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            pass

    # Signals.

    def _stop(self, number: signal.Signals) -> None:
        if not self._stopped.is_set():
            log.info("told to stop: %d workers leave", len(self._running))
            notify(self._settings.notify_socket, STOPPING)
        self._stopped.set()
        for worker in self._running:
            worker.send(number)

    def _reload(self) -> None:
        for worker in self._running:
            worker.send(signal.SIGHUP)

    def _begin_upgrade(self) -> None:
        if self._upgrade is not None and not self._upgrade.done():
            log.warning("an upgrade runs already")
        else:
            self._upgrade = self._tasks.spawn("upgrade", self._replace_all())

    async def _replace_all(self) -> None:
        log.info("upgrade: %d workers are replaced, one after another", len(self._slots))
        for slot in self._slots:
            is_replaced = await self._replace(slot)
            if self._stopped.is_set():
                log.warning("upgrade: given up at worker %d, for all were told to stop", slot.number)
                return
            if not is_replaced:
                log.error("upgrade: stopped at worker %d; it and those after it run on as they were", slot.number)
                return
        log.info("upgrade: done")

    async def _replace(self, slot: Slot) -> bool:
        """Whether a new worker has the slot."""
        old = slot.current
        if old is None:
            return False
        if before := [worker.name for worker in self._running if worker.number == slot.number and worker is not old]:
            log.error("upgrade: %s of the upgrade before still lets its requests end; try again when it has ended", before[0])
            return False
        try:
            new = await self._launch(slot, is_second=not old.is_second)
        except OSError as error:
            log.error("upgrade: no worker can be started now: %s", error.strerror)
            return False
        if not await new.is_ready(READY_S_MAX):
            log.error("upgrade: worker %s did not become ready within %g s", new.name, READY_S_MAX)
            new.send(signal.SIGTERM)
            if slot.rest:
                slot.callers.close()
            return False
        # It may have died meanwhile, and been started again: whoever is there now is replaced.
        old = slot.current or old
        self._fill(slot, new)
        old.send(signal.SIGUSR2)  # without notice: the machine serves on, so there is nothing that its balancer should see
        return True

    # What operators read.

    async def _say_listening(self) -> None:
        while not self._stopped.is_set():
            sockets = [slot.callers for slot in self._slots if not slot.rest]
            if sockets and all(each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for each in sockets):
                notify(self._settings.notify_socket, READY)
                self._on_listening()
                return
            await asyncio.sleep(LOOK_S)

    def _serving(self) -> list[Worker]:
        return [slot.current for slot in self._slots if slot.current is not None and slot.current in self._running]

    def _rests(self) -> dict[str, str]:
        return {slot.current.name: slot.rest for slot in self._slots if slot.rest and slot.current is not None}

    async def _serve_admin(self, server: Server, host: str, port: int) -> None:
        try:
            await server.serve(host, port, BACKLOG)
        except OSError as error:
            log.error(
                "no metrics: %s port %d cannot be listened on (%s); TOLLWAY_ADMIN names another", host, port, error.strerror
            )
