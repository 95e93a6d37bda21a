"""Processes that the benchmark starts: on free loopback ports, with all their descendants counted, and gone for sure at the end.

Rule: a process tree is everything whose chain of parents leads to the process we started, found anew at each reading.
Limits: reads /proc, so Linux only. CPU is user plus system time from /proc/PID/stat, in steps of 10 ms over windows of seconds.
Limits: PSS shares pages fairly among those who map them; memory that the kernel holds for sockets is in no process's figure.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Memory:
    """Of a process tree, in kilobytes."""

    rss_kb: int
    pss_kb: int


class Process:
    """A started program and its descendants."""

    def __init__(self, popen: "subprocess.Popen[bytes]", log: Path) -> None:
        self._popen = popen
        self.log = log

    def __repr__(self) -> str:
        return f"<Process {self._popen.pid} {self._popen.args!r}>"

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def tree(self) -> list[int]:
        """The process ids of the program and of its descendants."""
        children: dict[int, list[int]] = {}
        for pid, fields in _stats():
            children.setdefault(int(fields[1]), []).append(pid)
        found, waiting = [], [self._popen.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += children.get(pid, [])
        return found

    def cpu_s(self) -> float:
        """User and system time of the tree so far, descendants that have ended and were waited for included. Gone if it ended."""
        self._insist()
        tree = set(self.tree())
        ticks = sum(sum(map(int, fields[11:15])) for pid, fields in _stats() if pid in tree)
        return ticks / TICKS_PER_S

    def memory(self) -> Memory:
        """Of the tree now. Gone if it ended."""
        self._insist()
        rss = pss = 0
        for pid in self.tree():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:  # it ended between the two readings
                continue
            sizes = {words[0]: int(words[1]) for line in rollup.splitlines() if (words := line.split())[-1] == "kB"}
            rss += sizes["Rss:"]
            pss += sizes["Pss:"]
        return Memory(rss, pss)

    def _insist(self) -> None:
        """A figure of a program that is not there would be a flattering zero."""
        if not self.is_running:
            raise Gone(f"{self!r} has ended with status {self._popen.returncode}")

    def stop(self) -> None:
        """SIGTERM to the program, then SIGKILL to whatever is left of its session; returns when all are gone."""
        tree = self.tree()
        if self.is_running:
            self._popen.terminate()
            try:
                self._popen.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                pass
        for pid in tree:
            if _session_of(pid) == self._popen.pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self._popen.wait()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while any(map(is_alive, tree)) and time.monotonic() < deadline:
            time.sleep(0.005)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it is more than an entry that waits for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _stats() -> Iterator[tuple[int, list[str]]]:
    """(process id, the fields of /proc/PID/stat after the name) of every process."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            yield int(entry), text.rpartition(")")[2].split()


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(argv: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run `argv` in `folder` in a session of its own, output to a log there; stopped on the way out, whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    with log.open("ab") as out:
        popen = subprocess.Popen(
            argv,
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    process = Process(popen, log)
    try:
        yield process
    finally:
        process.stop()


class Gone(RuntimeError):
    """The program has ended before it was stopped."""


class DidNotStart(Exception):
    """The program ended, or answered nothing, before it was ready."""


def wait_until_listening(process: Process, port: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not process.is_running:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.005)
    raise DidNotStart(
        f"{process!r} was not ready in time; the end of its log:\n{process.log.read_text(errors='replace')[-2000:]}"
    )
