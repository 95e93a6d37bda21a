"""Machines that reach one another by their own addresses, on no network of this machine: namespaces, a bridge, and veth pairs.

Rule: all of it is gone with the processes that hold it. Strategy: a hub has the bridge; each machine has a namespace of its own.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

CLONE_NEWNET = 0x40000000
PREFIX = "10.77.0."
T = TypeVar("T")


def is_possible() -> bool:
    """Whether this user may make namespaces of network and of mounts, and mount something there."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    mounted = ["unshare", "-n", "-m", "--propagation", "private", "mount", "-t", "tmpfs", "none", tempfile.gettempdir()]
    return subprocess.run(mounted, capture_output=True, check=False).returncode == 0


class Namespace:
    """A network namespace, held by a process that sleeps."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "ip link set lo up && echo there && exec sleep 600"], stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"there\n"

    @property
    def pid(self) -> int:
        return self._holder.pid

    @property
    def enter(self) -> list[str]:
        """The words before a command that shall run in it."""
        return ["nsenter", "-t", str(self.pid), "-n", "--"]

    def ip(self, *words: str) -> None:
        subprocess.run([*self.enter, "ip", *words], check=True, capture_output=True)

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()


class Network:
    """The hub (10.77.0.1) and its machines (10.77.0.2 and on). A context manager."""

    def __init__(self) -> None:
        self.hub = Namespace()
        self.hub.ip("link", "add", "br0", "type", "bridge")
        self.hub.ip("addr", "add", f"{PREFIX}1/24", "dev", "br0")
        self.hub.ip("link", "set", "br0", "up")
        self._machines: list[Namespace] = []
        self._inside = ThreadPoolExecutor(8, initializer=self._join)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._inside.shutdown()
        for namespace in (*self._machines, self.hub):
            namespace.close()

    def add(self) -> tuple[Namespace, str]:
        """A new machine's namespace, and its address."""
        made, number = Namespace(), len(self._machines) + 2
        self._machines.append(made)
        address = f"{PREFIX}{number}"
        self.hub.ip("link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", str(made.pid))
        self.hub.ip("link", "set", f"v{number}", "master", "br0", "up")
        made.ip("addr", "add", f"{address}/24", "dev", "eth0")
        made.ip("link", "set", "eth0", "up")
        return made, address

    def call(self, work: Callable[[], T]) -> T:
        """`work()` on a thread that is in the hub, so that it reaches every machine."""
        return self._inside.submit(work).result(60)

    def _join(self) -> None:
        with open(f"/proc/{self.hub.pid}/ns/net", "rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
