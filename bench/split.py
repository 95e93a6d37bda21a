"""Where a proxy's CPU time goes: the shares of the kernel, the program and its libraries, sampled by perf under the same loads.

Rule: sampled apart from the rounds, because sampling costs time that must be in no figure.
Limits: needs perf and the right to sample (root here); the kernel's share of a virtual machine contains what its host takes.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SAMPLES_A_S = 2_000
DELAY_S = 1.5
"""Until the load is up."""
SHOWN_MIN = 0.01
NAMES = {
    "[kernel": "kernel",
    "libpython3": "CPython",
    "python3": "CPython",
    "loop": "uvloop",
    "parser": "httptools",
    "_core": "msgspec",
}


def missing() -> str | None:
    return None if shutil.which("perf") else "where the time goes: skipped, there is no perf (Debian: apt install linux-perf)"


@contextmanager
def sampled(pids: Sequence[int], duration_s: float, file: Path) -> Iterator[Callable[[], dict[str, float]]]:
    """Sample the processes while the body sends a load of `DELAY_S + duration_s` seconds; what is given reads the shares."""
    event = ["-e", "cpu-clock", "-F", str(SAMPLES_A_S), "-D", str(round(DELAY_S * 1e3))]
    whom = ["-p", ",".join(map(str, pids)), "-o", str(file), "--", "sleep", str(DELAY_S + duration_s)]
    recording = subprocess.Popen(["perf", "record", "-q", *event, *whom], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield lambda: _read(recording, file)
    finally:
        recording.kill()
        recording.communicate()


def _read(recording: "subprocess.Popen[bytes]", file: Path) -> dict[str, float]:
    _, told = recording.communicate(timeout=60)
    if recording.returncode:
        raise RuntimeError(f"perf could not sample: {told.decode(errors='replace').strip()[-300:]}")
    argv = ["perf", "report", "-i", str(file), "--stdio", "--no-children", "-F", "overhead,dso", "-t", ";"]
    return shares_of(subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout)


def shares_of(report: str) -> dict[str, float]:
    """Shares by name, the greatest first, from lines such as `46.22% ;[kernel.kallsyms]`; the small ones are one, `rest`."""
    shares: dict[str, float] = {}
    for line in report.splitlines():
        percent, semicolon, program = line.partition(";")
        if semicolon and not line.startswith("#"):
            stem = program.strip().partition(".")[0]
            name = NAMES.get(stem, stem)
            shares[name] = shares.get(name, 0.0) + float(percent.strip(" %")) / 100
    shown = {name: share for name, share in sorted(shares.items(), key=lambda each: -each[1]) if share >= SHOWN_MIN}
    rest = sum(shares.values()) - sum(shown.values())
    return shown | ({"rest": rest} if rest > 0 else {})
