"""One worker as its supervisor sees it: a child process in a slot, with the sockets it was given.

Rule: a slot's listening socket is the supervisor's and outlives every process in the slot. A worker that ends or is replaced
never takes waiting connections with it, and its successor accepts beside it from the first moment.
Rule: a worker is a node of its own (`<node>@<slot>`, after an upgrade `<node>@<slot>b` and back), so nobody is fenced while the
old one drains; its data are in a folder of that name.
Rule: a worker that answered once and then does not, look after look, hangs: its callers wait for nothing, so it is ended.
Limits: a worker that loses its supervisor (the pipe's other end closes) drains by itself; nothing is left serving.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from edge.settings import ADMIN_FD, JOIN_WAIT_S, LISTEN_FD, SUPERVISOR_FD, WORKERS
from edge.workers.figures import fetch

LOOK_S = 0.05
SILENCES_MAX = 3
"""Looks in a row without an answer. Each is counted, not timed: a machine that was suspended is not one that hangs."""


def listening(family: int, address: tuple[str, int], backlog: int, *, is_shared: bool = False) -> socket.socket:
    """A listening socket. `is_shared`: others of ours listen on the same port, and the kernel spreads connections over them.
    Without a backlog it is bound alone: whoever serves from it begins to listen."""
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        made.bind(address)
        if backlog:
            made.listen(backlog)
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


def command() -> tuple[str, ...]:
    """What `tollway` is now: the program that was started, by the path that it was started at, so that a release beside this one
    takes over when that path is led there; a process's own interpreter and modules stay those of the release it began with."""
    program = Path(sys.argv[0])
    if program.name == "tollway" and os.access(program, os.X_OK):
        return (str(program),)
    return sys.executable, "-m", "proxy"


def environment(name: str, data: Path) -> dict[str, str]:
    """Of a process that is this node in that folder."""
    return dict(os.environ) | {"TOLLWAY_NODE": name, "TOLLWAY_DATA": str(data)}


class Worker:
    """A child process: a node with a folder of its own. `is_second` alternates between the generations of a slot."""

    def __init__(self, name: str, data: Path, *, is_second: bool) -> None:
        self.name = name
        self.is_second = is_second
        self.number = int(name.rpartition("@")[2].rstrip("b"))
        self.data = data / ("w" + name.rpartition("@")[2])
        self._admin = listening(socket.AF_INET, ("127.0.0.1", 0), 16)
        self._port: int = self._admin.getsockname()[1]
        self._process: asyncio.subprocess.Process | None = None
        self._lifeline = -1
        self._silences: int | None = None
        """Looks since it answered last; None before it answers for the first time: a start takes as long as it takes."""

    async def start(self, callers: socket.socket, count: int, join_wait_s: int) -> None:
        """Begin to serve what comes in at `callers`, as one of `count`: when it has joined the collector, or after `join_wait_s`.
        OSError: no process or descriptor is left."""
        theirs, self._lifeline = os.pipe()
        fds = (callers.fileno(), self._admin.fileno(), theirs)
        env = (
            environment(self.name, self.data)
            | dict(zip((LISTEN_FD, ADMIN_FD, SUPERVISOR_FD), map(str, fds), strict=True))
            | {WORKERS: str(count), JOIN_WAIT_S: str(join_wait_s)}
        )
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command(), "serve", env=env, pass_fds=fds, stdin=asyncio.subprocess.DEVNULL
            )
        except OSError:
            self._close()
            raise
        finally:
            os.close(theirs)

    async def wait(self) -> int:
        """Its exit status; negative for the signal that ended it."""
        assert self._process is not None
        status = await self._process.wait()
        self._close()
        return status

    def _close(self) -> None:
        self._admin.close()
        os.close(self._lifeline)

    def send(self, number: signal.Signals) -> None:
        """A signal, unless it has ended."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def get(self, path: str, method: str = "GET", **how: Any) -> tuple[int, bytes]:
        """What its own operator's address answers: (status, body); (0, b"") when it does not answer. `how` as in `fetch`."""
        if self._process is None or self._process.returncode is not None:
            return 0, b""
        status, body = await fetch(self._port, path, method, **how)
        if status:
            self._silences = 0
        return status, body

    async def hangs(self, within_s: float) -> bool:
        """Whether it has stopped to answer: asked now, for at most `within_s`."""
        status, _ = await self.get("/healthz", within_s=within_s)
        if not status and self._silences is not None:
            self._silences += 1
        return (self._silences or 0) >= SILENCES_MAX

    async def is_ready(self, within_s: float) -> bool:
        """Whether it becomes ready for traffic in time."""
        process = self._process
        try:
            async with asyncio.timeout(within_s):
                while (await self.get("/readyz"))[0] != 200:
                    if process is None or process.returncode is not None:
                        return False
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            return False
        return True
