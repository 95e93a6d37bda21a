"""The folder that a process keeps its things in: the node's name, the journal, the embedded database. One process at a time.

Rule: whoever serves holds the folder's lock; another one is refused with a sentence before it has asked the collector for
anything, so nobody is fenced. The lock goes with the process, however it ends.
Rule: what is in it (usage, digests of keys) is its owner's alone: 0700 and 0600, also where an older release made it otherwise.
"""

import fcntl
import os
import re
import socket
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.settings import SettingError, Settings
from usage.protocol import group_of, name_in

LOCK = "serve.lock"
KEPT_NAME = "node"
PRIVATE = 0o077
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}(@[0-9]{1,3}b?)?\Z", re.ASCII)
"""What is behind the @ says which worker of the node it is (`edge.workers`)."""
OF_WORKER = re.compile(r"w[0-9]{1,3}b?\Z", re.ASCII)


class StartProblem(Exception):
    """This process cannot serve; one sentence for the operator says why and what would help."""


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the folder. StartProblem: another process does, or it cannot be written."""
    os.umask(PRIVATE)
    try:
        data.mkdir(parents=True, exist_ok=True)
        make_private(data)
        fd = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartProblem(f"the data folder {data} cannot be used: {error.strerror}; TOLLWAY_DATA names another") from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "?"
            raise StartProblem(
                f"another process (pid {owner}) serves from the data folder {data}; stop it, or give this one a folder of its own"
                " with TOLLWAY_DATA"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(fd)


def holder(data: Path) -> int:
    """The pid of the process that serves from this folder; 0 for none."""
    try:
        fd = os.open(data / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 20, 0).strip()
        return int(text) if text.isdigit() else -1
    finally:
        os.close(fd)
    return 0


def make_private(data: Path) -> None:
    """Take everybody else's rights from the folder and what is in it. Not from a folder that is shared by its nature (/tmp)."""
    facts = data.stat()
    if facts.st_uid != os.geteuid() or facts.st_mode & stat.S_ISVTX:
        return
    for path in (data, *data.rglob("*")):
        mode = path.lstat().st_mode
        if mode & PRIVATE and not stat.S_ISLNK(mode):
            path.chmod(stat.S_IMODE(mode) & ~PRIVATE)


def folders(data: Path) -> list[tuple[str, Path]]:
    """(which worker, its folder) of a data folder: "" for the folder itself, then each worker's that there is."""
    try:
        inside = sorted(path for path in data.iterdir() if OF_WORKER.match(path.name) and path.is_dir())
    except OSError:
        inside = []
    return [("", data), *((path.name[1:], path) for path in inside)]


def node_name(settings: Settings) -> str:
    """What this machine is called, in its group if it has one; a name that it gives itself is kept. SettingError: it is no name;
    StartProblem: no folder."""
    kept = settings.data / KEPT_NAME
    if not settings.node:
        try:
            if not kept.exists():
                settings.data.mkdir(parents=True, exist_ok=True)
                kept.write_text(f"{settings.machine or made_name()}\n", encoding="ascii")
        except (OSError, UnicodeError) as error:
            raise _cannot_keep(kept, error) from None
    return known_name(settings)


def known_name(settings: Settings) -> str:
    """The same without keeping anything; empty for a machine that has yet to give itself a name.

    The name in the data folder goes before the platform's: the journal there is that node's, whatever machine it is given to.
    """
    kept = settings.data / KEPT_NAME
    if settings.node:
        return check_name(settings.node, "TOLLWAY_NODE")
    try:
        name = kept.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        name = settings.machine
        origin = "what the platform calls this machine"
    except (OSError, UnicodeError) as error:
        raise _cannot_keep(kept, error) from None
    else:
        origin = str(kept)
        check_name(name, origin)
    if not name:
        return ""
    group = group_of(settings.node_token or "")
    name = check_name(name, origin)
    return name_in(group, name) if group else name


def _cannot_keep(kept: Path, error: Exception) -> StartProblem:
    return StartProblem(f"the node's name cannot be kept in {kept}: {error}; TOLLWAY_NODE sets it")


def made_name() -> str:
    """The host's name with a little chance behind it: several may serve on one host, and hosts are called alike."""
    host = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname().partition(".")[0]).strip("-")[:30] or "edge"
    return f"{host}-{uuid.uuid4().hex[:8]}"


def instance_of(data: Path) -> str:
    """What tells this data folder from any other, made once. StartProblem: it cannot be kept."""
    kept = data / "instance"
    try:
        if not kept.exists():
            data.mkdir(parents=True, exist_ok=True)
            kept.write_text(f"{uuid.uuid4().hex}\n", encoding="ascii")
        return kept.read_text(encoding="ascii").strip()[:64]
    except (OSError, UnicodeError) as error:
        raise StartProblem(f"{kept} cannot be kept or read: {error}; TOLLWAY_DATA names another folder") from None


def check_name(name: str, origin: str) -> str:
    """The name; SettingError unless the collector and the journal's folder take it."""
    if NAME.match(name) is None:
        raise SettingError(
            f"{origin} must be up to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit, not {name!r}"
        )
    return name


def prove_writable(data: Path) -> None:
    """OSError unless a file can be made in the folder and its bytes can be written."""
    data.mkdir(parents=True, exist_ok=True)
    proof = data / f".writable-{os.getpid()}"
    try:
        with proof.open("wb") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    finally:
        proof.unlink(missing_ok=True)
