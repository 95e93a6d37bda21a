"""Disks that stand in for the journal's: one in memory that remembers what a power cut could take, and one that fails on command.

Rule: what a RememberingDisk gives after a crash is any state that POSIX allows: names are durable after `sync_folder` of their
folder, bytes after `sync` of their file, and of the rest any part in order, torn anywhere or zeroed.
Strategy: every changing call is kept in `trace`; `replay` runs the first calls of a trace on an empty disk, so that each
boundary between two calls can be crashed at.
"""

import errno
import random
from collections.abc import Callable, Sequence
from typing import Any

from edge.journal.files.disk import Disk

Call = tuple[str, tuple[Any, ...]]


class File:
    """`data` is what a reader sees, `durable` what is on the medium, `pending` the writes between them, in order."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.durable = bytearray()
        self.pending: list[tuple[int, bytes]] = []


class Folder:
    """Names as seen and as durable. A pending change is a list of (name, node or None for a removal) that happens at once."""

    def __init__(self) -> None:
        self.names: dict[str, File | Folder] = {}
        self.durable: dict[str, File | Folder] = {}
        self.pending: list[list[tuple[str, File | Folder | None]]] = []

    def change(self, *changes: tuple[str, "File | Folder | None"]) -> None:
        self.pending.append(list(changes))
        apply(self.names, changes)


def apply(names: dict[str, "File | Folder"], changes: Sequence[tuple[str, "File | Folder | None"]]) -> None:
    for name, node in changes:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def put(data: bytearray, offset: int, piece: bytes) -> None:
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(piece)] = piece


class RememberingDisk(Disk):
    """Paths are absolute; the root exists. `note` puts a remark of the test into the trace."""

    def __init__(self) -> None:
        self.root = Folder()
        self.trace: list[Call] = []
        self.locked: set[int] = set()
        self._open: dict[int, File] = {}
        self._next_fd = 100

    def note(self, *remark: Any) -> None:
        self.trace.append(("note", remark))

    # The calls of Disk.

    def create(self, path: str) -> int:
        self.trace.append(("create", (path,)))
        folder, name = self._parent(path)
        if name in folder.names:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        folder.change((name, File()))
        return self._descriptor(path)

    def append_to(self, path: str) -> int:
        self.trace.append(("append_to", (path,)))
        return self._open_or_make(path)

    def open_in_place(self, path: str) -> int:
        self.trace.append(("open_in_place", (path,)))
        return self._open_or_make(path)

    def lock(self, path: str) -> int | None:
        self.trace.append(("lock", (path,)))
        fd = self._open_or_make(path)
        if id(self._open[fd]) in self.locked:
            del self._open[fd]
            return None
        self.locked.add(id(self._open[fd]))
        return fd

    def write(self, fd: int, data: bytes) -> int:
        self.trace.append(("write", (fd, data)))
        return self._write(self._open[fd], len(self._open[fd].data), data)

    def write_at(self, fd: int, data: bytes, offset: int) -> int:  # type: ignore[override]
        self.trace.append(("write_at", (fd, data, offset)))
        return self._write(self._open[fd], offset, data)

    def sync(self, fd: int) -> None:
        self.trace.append(("sync", (fd,)))
        file = self._open[fd]
        for offset, piece in file.pending:
            put(file.durable, offset, piece)
        file.pending.clear()

    def lose(self, fd: int) -> None:
        """A sync that failed: readers still see the data, the medium will never have it, and the next sync will say nothing."""
        self.trace.append(("lose", (fd,)))
        self._open[fd].pending.clear()

    def sync_folder(self, path: str) -> None:
        self.trace.append(("sync_folder", (path,)))
        folder = self._folder(path)
        for changes in folder.pending:
            apply(folder.durable, changes)
        folder.pending.clear()

    def make_folder(self, path: str) -> None:
        self.trace.append(("make_folder", (path,)))
        folder, name = self._parent(path)
        if name not in folder.names:
            folder.change((name, Folder()))

    def rename(self, source: str, target: str) -> None:  # type: ignore[override]
        self.trace.append(("rename", (source, target)))
        folder, old = self._parent(source)
        folder.change((old, None), (self._parent(target)[1], folder.names[old]))

    def remove(self, path: str) -> None:  # type: ignore[override]
        self.trace.append(("remove", (path,)))
        folder, name = self._parent(path)
        if name not in folder.names:
            raise FileNotFoundError(errno.ENOENT, "No such file", path)
        folder.change((name, None))

    remove_folder = remove  # type: ignore[assignment]

    def close(self, fd: int) -> None:
        self.trace.append(("close", (fd,)))
        self.locked.discard(id(self._open.pop(fd)))

    def exists(self, path: str) -> bool:
        try:
            folder, name = self._parent(path)
        except FileNotFoundError:
            return False
        return name in folder.names

    def names(self, path: str) -> list[str]:
        try:
            return sorted(self._folder(path).names)
        except FileNotFoundError:
            return []

    def size(self, path: str) -> int:
        return len(self._file(path).data)

    def read(self, path: str, offset: int, bytes_max: int) -> bytes:
        try:
            return bytes(self._file(path).data[offset : offset + bytes_max])
        except FileNotFoundError:
            return b""

    # Crashes.

    def after_kill(self) -> "RememberingDisk":
        """The machine lives on: everything written is there, every lock is free."""
        return self._image(lambda file: bytes(file.data), lambda folder: folder.names)

    def after_power_cut(self, dice: random.Random) -> "RememberingDisk":
        """Only what was durable is sure; `dice` decide about the rest."""
        return self._image(lambda file: survivor(file, dice), lambda folder: surviving_names(folder, dice))

    # Inside.

    def _image(
        self, content: Callable[[File], bytes], names: Callable[[Folder], dict[str, "File | Folder"]]
    ) -> "RememberingDisk":
        disk = RememberingDisk()
        disk.root = copy_of(self.root, content, names)
        return disk

    def _write(self, file: File, offset: int, data: bytes) -> int:
        piece = bytes(data)
        put(file.data, offset, piece)
        file.pending.append((offset, piece))
        return len(piece)

    def _folder(self, path: str) -> Folder:
        node: File | Folder = self.root
        for name in path.strip("/").split("/"):
            if name == "":
                break
            if not isinstance(node, Folder) or name not in node.names:
                raise FileNotFoundError(errno.ENOENT, "No such folder", path)
            node = node.names[name]
        assert isinstance(node, Folder)
        return node

    def _parent(self, path: str) -> tuple[Folder, str]:
        parent, _, name = path.rpartition("/")
        return (self._folder(parent) if parent.strip("/") else self.root), name

    def _file(self, path: str) -> File:
        folder, name = self._parent(path)
        node = folder.names.get(name)
        if not isinstance(node, File):
            raise FileNotFoundError(errno.ENOENT, "No such file", path)
        return node

    def _open_or_make(self, path: str) -> int:
        folder, name = self._parent(path)
        if name not in folder.names:
            folder.change((name, File()))
        return self._descriptor(path)

    def _descriptor(self, path: str) -> int:
        self._next_fd += 1
        self._open[self._next_fd] = self._file(path)
        return self._next_fd


def copy_of(folder: Folder, content: Callable[[File], bytes], names: Callable[[Folder], dict[str, "File | Folder"]]) -> Folder:
    copy = Folder()
    for name, node in names(folder).items():
        if isinstance(node, Folder):
            copy.names[name] = copy_of(node, content, names)
        else:
            file = File()
            file.data = bytearray(content(node))
            file.durable = bytearray(file.data)
            copy.names[name] = file
    copy.durable = dict(copy.names)
    return copy


def survivor(file: File, dice: random.Random) -> bytes:
    """The durable bytes and the first of the pending writes, the last of them torn; now and then a stretch never arrived."""
    data = bytearray(file.durable)
    kept = dice.randint(0, len(file.pending))
    for index, (offset, piece) in enumerate(file.pending[:kept]):
        torn = piece[: dice.randint(0, len(piece))] if index == kept - 1 and dice.random() < 0.5 else piece
        if dice.random() < 0.1 and len(torn) > 2:
            start = dice.randrange(len(torn) - 1)
            stop = dice.randint(start + 1, len(torn))
            torn = torn[:start] + bytes(stop - start) + torn[stop:]
        put(data, offset, torn)
    return bytes(data)


def surviving_names(folder: Folder, dice: random.Random) -> dict[str, "File | Folder"]:
    names = dict(folder.durable)
    for changes in folder.pending[: dice.randint(0, len(folder.pending))]:
        apply(names, changes)
    return names


def replay(trace: Sequence[Call]) -> RememberingDisk:
    """An empty disk after these calls; descriptors come out the same because they are counted. Calls that failed fail again."""
    disk = RememberingDisk()
    for name, arguments in trace:
        try:
            getattr(disk, name)(*arguments)
        except OSError:
            pass
    return disk


class FaultyDisk(RememberingDisk):
    """Refuses the calls named in `refuse` with the given error number; `short_bytes` cuts the next write after so many bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse: dict[str, int] = {}
        self.short_bytes: int | None = None
        self.refused_total = 0

    def _check(self, name: str) -> None:
        number = self.refuse.get(name)
        if number is not None:
            self.refused_total += 1
            raise OSError(number, errno.errorcode[number])

    def create(self, path: str) -> int:
        self._check("create")
        return super().create(path)

    def write(self, fd: int, data: bytes) -> int:
        self._check("write")
        if self.short_bytes is not None:
            cut, self.short_bytes = self.short_bytes, None
            return super().write(fd, data[:cut])
        return super().write(fd, data)

    def write_at(self, fd: int, data: bytes, offset: int) -> int:  # type: ignore[override]
        self._check("write_at")
        return super().write_at(fd, data, offset)

    def sync(self, fd: int) -> None:
        if "sync" in self.refuse:
            self.lose(fd)
        self._check("sync")
        super().sync(fd)

    def sync_folder(self, path: str) -> None:
        self._check("sync_folder")
        super().sync_folder(path)

    def remove(self, path: str) -> None:  # type: ignore[override]
        self._check("remove")
        super().remove(path)
