"""One worker as its supervisor sees it: a child process in a slot, with the sockets it was given.

Rule: a slot's listening socket is the supervisor's and outlives every process in the slot. A worker that ends or is replaced
never takes waiting connections with it, and its successor accepts beside it from the first moment.
Rule: a worker is a node of its own (`<node>@<slot>`, after an upgrade `<node>@<slot>b` and back), so nobody is fenced while the
old one drains; its data are in a folder of that name.
Limits: a worker that loses its supervisor (the pipe's other end closes) drains by itself; nothing is left serving.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

from edge.settings import ADMIN_FD, LISTEN_FD, SUPERVISOR_FD, WORKERS
from edge.workers.figures import fetch

COMMAND = (sys.executable, "-m", "proxy")
LOOK_S = 0.05


def listening(family: int, address: tuple[str, int], backlog: int, *, is_shared: bool = False) -> socket.socket:
    """A listening socket. `is_shared`: others of ours listen on the same port, and the kernel spreads connections over them."""
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        made.bind(address)
        made.listen(backlog)
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


class Worker:
    """A child process: a node with a folder of its own. `is_second` alternates between the generations of a slot."""

    def __init__(self, name: str, data: Path, *, is_second: bool) -> None:
        self.name = name
        self.is_second = is_second
        self.data = data / ("w" + name.rpartition("@")[2])
        self._admin = listening(socket.AF_INET, ("127.0.0.1", 0), 16)
        self._port: int = self._admin.getsockname()[1]
        self._process: asyncio.subprocess.Process | None = None
        self._lifeline = -1

    def _environ(self) -> dict[str, str]:
        return dict(os.environ) | {"TOLLWAY_NODE": self.name, "TOLLWAY_DATA": str(self.data)}

    async def start(self, callers: socket.socket, count: int) -> None:
        """Begin to serve what comes in at `callers`, as one of `count`. OSError: no process or descriptor is left."""
        theirs, self._lifeline = os.pipe()
        fds = (callers.fileno(), self._admin.fileno(), theirs)
        env = (
            self._environ() | dict(zip((LISTEN_FD, ADMIN_FD, SUPERVISOR_FD), map(str, fds), strict=True)) | {WORKERS: str(count)}
        )
        try:
            self._process = await asyncio.create_subprocess_exec(
                *COMMAND, "serve", env=env, pass_fds=fds, stdin=asyncio.subprocess.DEVNULL
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

    async def ship(self) -> int:
        """The exit status of a process that ships what this worker left in its folder; 0 when nothing is left."""
        shipping = await asyncio.create_subprocess_exec(*COMMAND, "journal", "ship", env=self._environ())
        return await shipping.wait()

    def send(self, number: signal.Signals) -> None:
        """A signal, unless it has ended."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def get(self, path: str) -> tuple[int, bytes]:
        """What its own operator's address answers: (status, body); (0, b"") when it does not answer."""
        return await fetch(self._port, path)

    async def is_serving(self, within_s: float) -> bool:
        """Whether it answers in time, ready or not."""
        return await self._becomes({200, 503}, within_s)

    async def is_ready(self, within_s: float) -> bool:
        """Whether it becomes ready for traffic in time."""
        return await self._becomes({200}, within_s)

    async def _becomes(self, statuses: set[int], within_s: float) -> bool:
        process = self._process
        try:
            async with asyncio.timeout(within_s):
                while (await self.get("/readyz"))[0] not in statuses:
                    if process is None or process.returncode is not None:
                        return False
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            return False
        return True
