"""`Idempotency-Key` among the workers of one machine: a name that one of them has under way or has bought is known to all.

Rule: a name is a file in a folder that the workers share; whoever made it carries the request out, and holds its lock while it
does. So one that is locked is under way, and any other has bought something, for all that anybody knows: what had bought nothing
was removed, and of a worker that died nobody can tell.
Rule: what a file holds are digests and the generation's id; answers stay in the memory of the worker that bought them.
Limits: the machine's; another edge knows nothing of it. A file is as old as the request's end.
"""

import contextlib
import fcntl
import logging
import os
import time
from pathlib import Path
from typing import Final

import msgspec

from edge.relay.idempotency import (
    KEPT_S,
    TOTAL_BYTES_MAX,
    IdempotencyClaim,
    IdempotencyEntry,
    IdempotencyKeys,
    KeptAnswer,
    completed,
    in_progress,
    reused,
)
from routing.plan.refusal import Denied, Refusal

FOLDER: Final = "idempotency"
_FINGERPRINT_BYTES: Final = 32
_FILE_BYTES_MAX: Final = 256
_TRIES: Final = 5
_UNWRITABLE: Final = Refusal(503, "journal_unavailable", "this edge cannot write its data folder", retry_after_s=5.0)
log = logging.getLogger("tollway.relay")


class _NameFile(msgspec.Struct, frozen=True):
    """What a file says; without a fingerprint its maker has yet to write it."""

    fingerprint: bytes
    gen_id: str
    is_running: bool


class SharedIdempotencyKeys(IdempotencyKeys):
    """The names of this worker, and in `folder` those of all. OSError: the folder cannot be made."""

    def __init__(self, folder: Path, total_bytes_max: int = TOTAL_BYTES_MAX) -> None:
        super().__init__(total_bytes_max)
        self._folder = folder
        self._locks: dict[bytes, int] = {}
        """The descriptors of the names that are under way here."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                self._sweep(path)

    def claim(
        self, digest: str, account: str, name: bytes, fingerprint: bytes, gen_id: str, now_s: float
    ) -> IdempotencyClaim | KeptAnswer:
        found = super().claim(digest, account, name, fingerprint, gen_id, now_s)
        if isinstance(found, KeptAnswer):
            return found
        try:
            known = self._take(found.entry)
        except OSError as error:
            super().free(found.entry)
            log.error("no Idempotency-Key can be kept in %s: %s", self._folder, error.strerror)
            raise Denied(_UNWRITABLE) from None
        if known is None:
            return found
        super().free(found.entry)
        if known.fingerprint and known.fingerprint != fingerprint:
            raise Denied(reused(), gen_id=known.gen_id)
        raise Denied(in_progress() if known.is_running else completed(known.gen_id), gen_id=known.gen_id)

    def end(self, entry: IdempotencyEntry, answer: KeptAnswer | None, now_s: float) -> None:
        lock = self._locks.pop(entry.id, None) if self._is_running(entry) else None
        if lock is not None:
            with contextlib.suppress(OSError):
                os.utime(lock)  # from now on it is kept
            os.close(lock)
        super().end(entry, answer, now_s)

    def free(self, entry: IdempotencyEntry) -> None:
        lock = self._locks.pop(entry.id, None) if self._is_running(entry) else None
        if lock is not None:
            with contextlib.suppress(OSError):
                self._path(entry.id).unlink()
            os.close(lock)
        super().free(entry)

    def _forget(self, entry: IdempotencyEntry) -> None:
        super()._forget(entry)
        path = self._path(entry.id)
        with contextlib.suppress(OSError):
            # As old as that, it may be another worker's by now.
            if entry.gen_id.encode() in path.read_bytes():
                path.unlink()

    def _path(self, entry_id: bytes) -> Path:
        return self._folder / entry_id.hex()

    def _take(self, entry: IdempotencyEntry) -> _NameFile | None:
        """None: it is ours, and locked. OSError."""
        path = self._path(entry.id)
        for _ in range(_TRIES):
            try:
                lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                if (known := self._read(path)) is not None:
                    return known
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                os.write(lock, entry.fingerprint.ljust(_FINGERPRINT_BYTES) + entry.gen_id.encode() + b"\n")
            except OSError:
                # The disk is full: nobody has this name, and no descriptor stays behind.
                with contextlib.suppress(OSError):
                    path.unlink()
                os.close(lock)
                raise
            self._locks[entry.id] = lock
            return None
        return _NameFile(b"", "", is_running=True)

    def _read(self, path: Path) -> _NameFile | None:
        """What is known of a name; None when it has gone meanwhile, or was as old as nobody has to know any more."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            # Before the lock is looked at: its maker locks it first and writes then, so what is written and not locked has ended.
            text = os.pread(fd, _FILE_BYTES_MAX, 0)
            is_running = not _locked(fd)
            fcntl.flock(fd, fcntl.LOCK_UN)
            if not is_running and (_is_other(fd, path) or self._sweep(path)):
                return None
        finally:
            os.close(fd)
        fingerprint, rest = text[:_FINGERPRINT_BYTES], text[_FINGERPRINT_BYTES:]
        gen_id = rest.partition(b"\n")[0].decode("ascii", "replace")
        return _NameFile(fingerprint, gen_id, is_running=is_running or not rest)

    def _sweep(self, path: Path) -> bool:
        """Whether it was too old, and is gone. One that is locked is under way, however old it is."""
        try:
            if time.time() - path.stat().st_mtime < KEPT_S:
                return False
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            is_ours = _locked(fd, fcntl.LOCK_EX) and not _is_other(fd, path)
            if is_ours:
                path.unlink()
            return is_ours
        finally:
            os.close(fd)


def _locked(fd: int, how: int = fcntl.LOCK_SH) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_other(fd: int, path: Path) -> bool:
    """Whether the path is another file by now, or none."""
    try:
        return path.stat().st_ino != os.fstat(fd).st_ino
    except FileNotFoundError:
        return True
