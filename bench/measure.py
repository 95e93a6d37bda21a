"""One session: every peer started once, then the same loads in interleaved rounds, so that the machine's moods hit all.

Rule: raw values are kept; medians are somebody else's business. The order of the peers turns by one each round.
"""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from bench import mock, split
from bench.load import Held, Paced, Plain, Target, hold_open, send_paced, send_plain
from bench.peer import Peer, Running, running
from bench.process import DidNotStart, Memory

STREAMS_PACED = 128
PACED_EACH_ROUND = 3
CONCURRENT = 32
COLD_STARTS = 3
EVEN_RATES = (2_000, 8_000)
"""Requests a second, the same to every peer: a light load, and one that keeps a core busy for most of the time."""
DIRECT = "direct"


class Pace(msgspec.Struct, frozen=True):
    """How long a session takes."""

    rounds: int
    warm_up_s: float
    plain_s: float
    alone_s: float
    even_s: float
    paced_s: float
    held: tuple[int, ...]
    open_timeout_s: float


FULL = Pace(rounds=5, warm_up_s=1, plain_s=3, alone_s=1.5, even_s=3, paced_s=3, held=(1000, 5000), open_timeout_s=25)
QUICK = Pace(rounds=1, warm_up_s=1, plain_s=2, alone_s=1, even_s=2, paced_s=2, held=(1000,), open_timeout_s=8)


class Measured(msgspec.Struct):
    """Everything read of one peer. `plain` is by the number of requests at once, `even` by requests a second; CPU seconds stand
    beside each round. `split` is by what was sent ("request", "chunk"): the shares of the kernel, the program and its libraries.
    """

    name: str
    does: str
    version: str = ""
    cold_start_s: list[float] = msgspec.field(default_factory=list)
    at_rest: Memory | None = None
    loaded: Memory | None = None
    plain: dict[int, list[Plain]] = msgspec.field(default_factory=dict)
    plain_cpu_s: dict[int, list[float]] = msgspec.field(default_factory=dict)
    even: dict[int, list[Plain]] = msgspec.field(default_factory=dict)
    even_cpu_s: dict[int, list[float]] = msgspec.field(default_factory=dict)
    paced: list[Paced] = msgspec.field(default_factory=list)
    split: dict[str, dict[str, float]] = msgspec.field(default_factory=dict)
    held: dict[int, Held] = msgspec.field(default_factory=dict)
    trouble: list[str] = msgspec.field(default_factory=list)


class Session(msgspec.Struct):
    """A whole session as it is kept in results.json."""

    started: str
    machine: dict[str, str]
    pace: Pace
    peers: list[Measured]
    skipped: dict[str, str]


def describe_machine() -> dict[str, str]:
    cpu = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?"
    )
    load = os.getloadavg()[0]
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "load average at the start": f"{load:.1f}",
    }


def run_session(peers: Sequence[Peer], out: Path, pace: Pace, say: Callable[[str], None]) -> Session:
    """Measure `peers`; those that lack something or do not start are skipped with a word."""
    session = Session(time.strftime("%Y-%m-%d %H:%M"), describe_machine(), pace, [], {})
    work = out / "work" / time.strftime("%Y%m%d-%H%M%S")
    with ExitStack() as stack:
        mock_port = stack.enter_context(mock.running(work / "mock"))
        direct = Measured(DIRECT, "the mock provider itself", "nginx with Lua")
        session.peers.append(direct)
        started: list[tuple[Running, Measured]] = []
        for peer in peers:
            reason = peer.missing(out)
            if reason is None:
                try:
                    started.append(_start(peer, out, work, mock_port, stack, say))
                except (DidNotStart, RuntimeError) as error:
                    reason = str(error)
            if reason is not None:
                session.skipped[peer.name] = reason.splitlines()[0]
                say(f"{peer.name}: skipped, {reason}")
        session.peers += [measured for _, measured in started]
        for runner, measured in started:
            _attempt(measured, say, lambda: _warm_up(runner, pace, work))  # noqa: B023
        for number in range(pace.rounds):
            turned = started[number % max(1, len(started)) :] + started[: number % max(1, len(started))]
            for measure in _measures(pace, work):
                # One after another with the same load, so that what a ratio compares is seconds apart and not minutes.
                measure(Target(mock_port), lambda: 0.0, direct)
                for runner, measured in turned:
                    _attempt(measured, say, lambda: measure(runner.target, runner.process.cpu_s, measured))  # noqa: B023
            say(f"round {number + 1} of {pace.rounds} done")
        if lack := split.missing():
            say(lack)
        for runner, measured in started if lack is None else []:
            _attempt(measured, say, lambda: _split(runner, measured, pace, work))  # noqa: B023
        for runner, measured in started:
            _attempt(measured, say, lambda: _weigh(runner, measured))  # noqa: B023
            for streams in pace.held:
                _attempt(measured, say, lambda: _hold(runner, measured, streams, pace))  # noqa: B023
            say(f"{measured.name}: open streams done")
    return session


def _start(
    peer: Peer, out: Path, work: Path, mock_port: int, stack: ExitStack, say: Callable[[str], None]
) -> tuple[Running, Measured]:
    measured = Measured(peer.name, peer.does, peer.version(out))
    folder = work / peer.name.replace(" ", "-")
    for attempt in range(0 if peer.is_slow else COLD_STARTS - 1):
        with running(peer, out, folder / f"start-{attempt}", mock_port) as runner:
            measured.cold_start_s.append(runner.cold_start_s)
    runner = stack.enter_context(running(peer, out, folder / "run", mock_port))
    measured.cold_start_s.append(runner.cold_start_s)
    measured.at_rest = runner.process.memory()
    say(f"{peer.name}: up in {statistics.median(measured.cold_start_s):.2f} s")
    return runner, measured


def _attempt(measured: Measured, say: Callable[[str], None], work: Callable[[], None]) -> None:
    """Do `work`; a peer that fails under load is reported, not hidden, and does not end the session."""
    try:
        work()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        measured.trouble.append(repr(error))
        say(f"{measured.name}: {error!r}")


def _warm_up(runner: Running, pace: Pace, work: Path) -> None:
    """Pools fill, compilers compile; nothing is kept."""
    send_plain(runner.target, CONCURRENT, pace.warm_up_s, work)


Measure = Callable[[Target, Callable[[], float], Measured], None]
"""Sends one load to a target, whose CPU seconds the second argument reads, and notes what came of it."""


def _measures(pace: Pace, work: Path) -> list[Measure]:
    """The loads of a round, in order. Paced streams come more often: their figure is the one that scatters most."""
    paced = _paced(pace.paced_s)
    return [
        _plain(CONCURRENT, pace.plain_s, work),
        paced,
        _plain(1, pace.alone_s, work),
        *(_plain(CONCURRENT, pace.even_s, work, rate) for rate in EVEN_RATES),
        *[paced] * (PACED_EACH_ROUND - 1),
    ]


def _plain(at_once: int, duration_s: float, work: Path, rate: int = 0) -> Measure:
    def measure(target: Target, cpu_s: Callable[[], float], measured: Measured) -> None:
        before = cpu_s()
        plain = send_plain(target, at_once, duration_s, work, rate)
        used_s = cpu_s() - before
        kept, kept_cpu_s = (measured.even, measured.even_cpu_s) if rate else (measured.plain, measured.plain_cpu_s)
        kept.setdefault(rate or at_once, []).append(plain)
        kept_cpu_s.setdefault(rate or at_once, []).append(used_s)
        _note_bad(measured, plain, f"{rate} a second" if rate else f"{at_once} at once")

    return measure


def _paced(duration_s: float) -> Measure:
    def measure(target: Target, cpu_s: Callable[[], float], measured: Measured) -> None:
        if measured.name == DIRECT:
            return
        paced = send_paced(target, STREAMS_PACED, duration_s, cpu_s)
        measured.paced.append(paced)
        if paced.failed:
            measured.trouble.append(f"{paced.failed} of {STREAMS_PACED} paced streams failed")

    return measure


def _note_bad(measured: Measured, plain: Plain, at: str) -> None:
    if plain.bad_status or plain.bad_socket:
        measured.trouble.append(f"{plain.bad_status} bad answers and {plain.bad_socket} socket errors at {at}")


def _split(runner: Running, measured: Measured, pace: Pace, work: Path) -> None:
    target, tree, file = runner.target, runner.process.tree(), work / "perf.data"
    # Evenly spaced requests and paced streams, so that what one proxy costs more does not change what it gets to do.
    with split.sampled(tree, pace.even_s, file) as shares:
        send_plain(target, CONCURRENT, split.DELAY_S + pace.even_s, work, EVEN_RATES[0])
        measured.split["request"] = shares()
    with split.sampled(tree, pace.paced_s, file) as shares:
        send_paced(target, STREAMS_PACED, split.DELAY_S + pace.paced_s, runner.process.cpu_s)
        measured.split["chunk"] = shares()


def _weigh(runner: Running, measured: Measured) -> None:
    measured.loaded = runner.process.memory()


def _hold(runner: Running, measured: Measured, streams: int, pace: Pace) -> None:
    held = hold_open(runner.target, streams, pace.open_timeout_s, runner.process.memory)
    measured.held[streams] = held
    if held.opened < streams:
        measured.trouble.append(f"only {held.opened} of {streams} streams were open after {pace.open_timeout_s:g} s")


def encode(session: Session) -> bytes:
    return msgspec.json.format(msgspec.json.encode(session), indent=1)


def decode(text: bytes) -> Session:
    return msgspec.json.decode(text, type=Session)


def machine_of(session: Session) -> Any:
    """What the session ran on, as one line."""
    return ", ".join(f"{name} {value}" for name, value in session.machine.items())
