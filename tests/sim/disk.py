"""The simulator's disk: in memory, shared by a machine's processes, able to die between any two calls or within a write."""

import random
from typing import Any

from tests.disks import Call, FaultyDisk


class Crash(BaseException):
    """The process died here. Not an Exception: nobody may catch it on the way out."""


class _Forgetful(list[Call]):
    """A trace that keeps nothing: millions of steps would fill the memory."""

    def append(self, call: Call) -> None:
        pass


class SimDisk(FaultyDisk):
    """`calls_left` counts changing calls until the crash; `owner` is the process at work, whose descriptors die with it."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.trace = _Forgetful()
        self.dice = dice
        self.calls_left: int | None = None
        self.owner: Any = None
        self.left_behind: Any = None
        """Where a wrong variant keeps what must not outlive a process."""
        self._owners: dict[int, Any] = {}

    def _die(self) -> bool:
        if self.calls_left is None:
            return False
        self.calls_left -= 1
        if self.calls_left > 0:
            return False
        self.calls_left = None
        return True

    def _descriptor(self, path: str) -> int:
        fd = super()._descriptor(path)
        self._owners[fd] = self.owner
        return fd

    def write(self, fd: int, data: bytes) -> int:
        if self._die():
            super().write(fd, data[: self.dice.randint(0, len(data))])
            raise Crash
        return super().write(fd, data)

    def write_at(self, fd: int, data: bytes, offset: int) -> int:  # type: ignore[override]
        if self._die():
            super().write_at(fd, data[: self.dice.randint(0, len(data))], offset)
            raise Crash
        return super().write_at(fd, data, offset)

    def sync(self, fd: int) -> None:
        if self._die():
            raise Crash
        super().sync(fd)

    def sync_folder(self, path: str) -> None:
        if self._die():
            raise Crash
        super().sync_folder(path)

    def create(self, path: str) -> int:
        if self._die():
            raise Crash
        return super().create(path)

    def remove(self, path: str) -> None:  # type: ignore[override]
        if self._die():
            raise Crash
        super().remove(path)

    def rename(self, source: str, target: str) -> None:  # type: ignore[override]
        if self._die():
            raise Crash
        super().rename(source, target)

    def install(self, path: str) -> None:
        """A folder that has been there since the machine was set up."""
        self.make_folder(path)
        self.root.durable = dict(self.root.names)
        self.root.pending.clear()

    def heal(self) -> None:
        """No fault and no crash is waiting."""
        self.refuse.clear()
        self.short_bytes = None
        self.calls_left = None

    def kill(self, owner: Any) -> None:
        """One process is gone: its descriptors and locks are free, what it wrote is in the kernel."""
        self.calls_left = None
        for fd in [fd for fd, one in self._owners.items() if one is owner]:
            del self._owners[fd]
            file = self._open.pop(fd, None)
            if file is not None:
                self.locked.discard(id(file))

    def image(self, *, is_power_cut: bool) -> "SimDisk":
        """What another start finds: after a power cut, or in a snapshot of the running machine."""
        made = self.after_power_cut(self.dice) if is_power_cut else self.after_kill()
        disk = SimDisk(self.dice)
        disk.root = made.root
        return disk
