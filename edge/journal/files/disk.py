"""The few operating-system calls that the journal makes, behind one class, so that another kind of disk can take its place.

Rule: every change of a file or folder by the journal goes through here; nothing else in `edge` touches the journal's folder.
Strategy: os.write lets go of the interpreter's lock, whereupon a thread of the server takes it: two changes of threads for a call
that takes a microsecond, in every turn of the event loop. `write_held` keeps the lock. While the disk makes it wait no Python
thread runs, but the event loop, whose thread writes, would stand either way.
"""

import ctypes
import errno
import fcntl
import os

datasync = getattr(os, "fdatasync", os.fsync)

_write = ctypes.PyDLL(None, use_errno=True).write
_write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_write.restype = ctypes.c_ssize_t


def write_held(fd: int, data: bytes) -> int:
    """os.write, holding the interpreter's lock."""
    while True:
        written: int = _write(fd, data, len(data))
        if written >= 0:
            return written
        error = ctypes.get_errno()
        if error != errno.EINTR:
            raise OSError(error, os.strerror(error))


class Disk:
    """The real one. Errors are OSError, as the system raises them."""

    write = staticmethod(write_held)
    """(fd, data) -> bytes written, at the end of the file; may be fewer than asked."""

    write_at = staticmethod(os.pwrite)
    """(fd, data, offset) -> bytes written, in place."""

    close = staticmethod(os.close)
    remove = staticmethod(os.unlink)
    remove_folder = staticmethod(os.rmdir)
    rename = staticmethod(os.rename)

    def create(self, path: str) -> int:
        """A new file to append to; FileExistsError when there is one."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def append_to(self, path: str) -> int:
        """An old or new file to append to."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def open_in_place(self, path: str) -> int:
        """An old or new file for `write_at`."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def sync(self, fd: int) -> None:
        """Return when the file's content and size are on the medium."""
        datasync(fd)

    def sync_folder(self, path: str) -> None:
        """Return when the names in the folder are on the medium."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def make_folder(self, path: str) -> None:
        """One folder; it may exist already."""
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def names(self, path: str) -> list[str]:
        """What is in the folder; nothing when there is no such folder."""
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def read(self, path: str, offset: int, bytes_max: int) -> bytes:
        """Up to `bytes_max` bytes from `offset`; empty at the end, and when there is no such file."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(fd, bytes_max, offset)
        finally:
            os.close(fd)

    def lock(self, path: str) -> int | None:
        """Hold the lock file until the descriptor is closed or the process dies; None when another holds it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        if _is_same(fd, path):
            return fd
        os.close(fd)
        return None


def _is_same(fd: int, path: str) -> bool:
    """Whether the locked file is still the one at `path`: its folder may have been moved away while we waited."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
