"""What is measured: a proxy that can be started in front of the mock provider, and how.

Rule: each runs one worker, logs no requests, and passes a chat request on to the provider; what more it does is said in `does`.
Versions are pinned where the script installs; programs of the system are taken as they are and their version is reported.
"""

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import Target
from bench.process import DidNotStart, Process, free_port, started, wait_until_listening

POLL_S = 0.004


@dataclass(frozen=True)
class Companion:
    """A program that must run beside the proxy and is not part of it."""

    argv: Sequence[str]
    port: int
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """How to start a proxy that has been configured, and how to talk to it."""

    argv: Sequence[str]
    target: Target
    env: dict[str, str] = field(default_factory=dict)
    companions: tuple[Companion, ...] = ()


@dataclass(frozen=True)
class Peer:
    """A proxy under measurement.

    `configure(out, folder, port, mock_port)` writes its files into `folder`; `out` is where installed peers live. `missing(out)`
    says what it lacks, or None. `installation(out)` are the commands that would change that.
    """

    name: str
    does: str
    configure: Callable[[Path, Path, int, int], Launch]
    missing: Callable[[Path], str | None]
    version: Callable[[Path], str]
    installation: Callable[[Path], list[list[str]]] = lambda out: []
    start_timeout_s: float = 10.0
    is_slow: bool = False


@dataclass(frozen=True)
class Running:
    """A started proxy, and how long it took from the start of the process to its first good answer."""

    peer: Peer
    target: Target
    process: Process
    cold_start_s: float


def first_line(argv: Sequence[str], word: str = "") -> str:
    """The first line with `word` that the command prints; empty when the command is not there."""
    try:
        run = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        return ""
    return next((line.strip() for line in (run.stdout + run.stderr).splitlines() if word in line), "")


def install(peer: Peer, out: Path) -> None:
    """Run the commands that install the peer; subprocess.CalledProcessError when one fails."""
    for argv in peer.installation(out):
        print(f"  {' '.join(argv)}", flush=True)
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def running(peer: Peer, out: Path, folder: Path, mock_port: int) -> Iterator[Running]:
    """Configure and start the peer; ready when this yields."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    launch = peer.configure(out, folder, port, mock_port)
    with ExitStack() as stack:
        for number, companion in enumerate(launch.companions):
            process = stack.enter_context(started(companion.argv, folder / f"companion-{number}", companion.env))
            wait_until_listening(process, companion.port, 10)
        start = time.monotonic()
        process = stack.enter_context(started(launch.argv, folder, launch.env))
        cold_start_s = _wait_until_answering(process, launch.target, start, peer.start_timeout_s)
        yield Running(peer, launch.target, process, cold_start_s)


def _wait_until_answering(process: Process, target: Target, start: float, timeout_s: float) -> float:
    """Seconds from `start` to the first good answer to a chat request."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{target.port}{target.path}",
        data=target.body().encode(),
        headers={"content-type": "application/json", **target.headers},
    )
    told = "nothing"
    while time.monotonic() < start + timeout_s and process.is_running:
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                response.read()
                return time.monotonic() - start
        except urllib.error.HTTPError as error:
            told = f"{error.code} {error.read()[:300]!r}"
        except OSError as error:
            told = repr(error)
        time.sleep(POLL_S)
    log = process.log.read_text(errors="replace")[-1500:]
    raise DidNotStart(f"{process!r} gave no good answer in {timeout_s:g} s (last: {told}); the end of its log:\n{log}")
