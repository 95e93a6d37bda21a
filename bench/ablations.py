"""`scripts/bench --ablations`: what each speed-up that is a second route is worth, with and without it in the same session.

Rule: one worth less than STAYS_MIN of a request or of a chunk goes; the plain route remains. Strategy: a proxy with everything
and one for each switch of `bench.plain` run at once; each load goes to all of them, one after another, the order turning by
one each round; a ratio is the median of each round's own. Limits: CPU is read in steps of 10 ms over a few seconds, so a ratio is
good to about a hundredth on a machine that does nothing else.
"""

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from bench import mock, tollway
from bench.load import send_paced, send_plain
from bench.peer import Launch, Peer, Running, running

STAYS_MIN = 0.03
RATE = 2_000
CONNECTIONS = 32
STREAMS = 128


class Ablation(msgspec.Struct, frozen=True):
    """A switch of `bench.plain`, the load that shows what it does, what it is, and the server and API it is measured with."""

    switch: str
    load: str
    what: str
    server: str = "native"
    base: str = "/v1"
    is_price: bool = False
    """Not a speed-up: what it costs to be watched, with limits, a log line and figures on."""


ABLATIONS = (
    Ablation("paid", "request", "the paid path is looked up before Starlette's router is asked"),
    Ablation(
        "pour", "chunk", "a chunk is rewritten, and its `send` begun, in the callback that brought it, not by the stream's task"
    ),
    Ablation("pour", "chunk", "the same under granian", server="granian"),
    Ablation("swap", "chunk", "a chunk that is like the last but for its text is not read"),
    Ablation("swap", "chunk", "the same for OpenRouter's flavour", base="/api/v1"),
    Ablation("watched", "request", "limits, `gen_ai` figures, a log line, `server-timing`", is_price=True),
    Ablation("watched", "chunk", "the same, per chunk", is_price=True),
)


class Row(msgspec.Struct):
    """CPU microseconds per request or chunk, round by round."""

    ablation: Ablation
    with_us: list[float] = msgspec.field(default_factory=list)
    without_us: list[float] = msgspec.field(default_factory=list)

    @property
    def worth(self) -> float:
        """The part of the plain route's price that is saved."""
        return 1 - statistics.median(fast / plain for fast, plain in zip(self.with_us, self.without_us, strict=True))


def run(out: Path, rounds: int, window_s: float, say: Callable[[str], None]) -> list[Row]:
    """Every ablation, measured."""
    work = out / "work" / time.strftime("%Y%m%d-%H%M%S-ablations")
    rows = [Row(ablation) for ablation in ABLATIONS]
    with ExitStack() as stack:
        mock_port = stack.enter_context(mock.running(work / "mock"))
        started: dict[tuple[str, str, bool], Running] = {}
        for ablation in ABLATIONS:
            for switch in ("", ablation.switch):
                if (key := (switch, ablation.server, ablation.is_price)) not in started:
                    folder = work / f"{switch or 'all'}-{ablation.server}{'-watched' * ablation.is_price}"
                    peer = _peer(switch, ablation.server, is_watched=ablation.is_price)
                    started[key] = stack.enter_context(running(peer, out, folder, mock_port))
        for runner in started.values():
            send_plain(runner.target, CONNECTIONS, 1, work)
        for number in range(rounds):
            for row in rows:
                pair = [(row.with_us, ""), (row.without_us, row.ablation.switch)]
                for kept, switch in pair if number % 2 else reversed(pair):
                    kept.append(
                        _measure(started[switch, row.ablation.server, row.ablation.is_price], row.ablation, window_s, work)
                    )
            say(f"round {number + 1} of {rounds} done")
    return rows


LIMITS = """
[rate_limits.key]
requests_per_minute = 100_000_000
tokens_per_minute = 100_000_000_000
concurrent_requests = 100_000
"""


def _peer(switch: str, server: str, *, is_watched: bool = False) -> Peer:
    """Ourselves without one speed-up; or watched, with and without what that takes."""

    def configure(out: Path, folder: Path, port: int, mock_port: int) -> Launch:
        launch = tollway.EMBEDDED_PEER.configure(out, folder, port, mock_port)
        argv = [sys.executable, "-m", "bench.plain", switch, "serve"]
        if is_watched:
            table = folder / "providers.toml"
            table.write_text(table.read_text() + LIMITS)
            launch = Launch(launch.argv, launch.target, launch.env | {"TOLLWAY_LOG_REQUESTS": "json"})
        return Launch(argv, launch.target, launch.env | {"TOLLWAY_SERVER": server, "PYTHONPATH": str(Path(__file__).parents[1])})

    return Peer(f"without {switch or 'nothing'}", "", configure, lambda out: None, lambda out: "")


def _measure(runner: Running, ablation: Ablation, window_s: float, work: Path) -> float:
    """CPU microseconds of the proxy per request or chunk of one window."""
    target = dataclasses.replace(runner.target, path=ablation.base + "/chat/completions")
    if ablation.load == "chunk":
        paced = send_paced(target, STREAMS, window_s, runner.process.cpu_s)
        return paced.cpu_s * 1e6 / paced.chunks
    before_s = runner.process.cpu_s()
    plain = send_plain(target, CONNECTIONS, window_s, work, RATE)
    return (runner.process.cpu_s() - before_s) * 1e6 / plain.requests


METHOD = """\
# What each speed-up with a plain route beside it is worth

Made by `scripts/bench --ablations` on {now}; raw values in `ablations.json`. A proxy with everything and one without each
run at once; a request is one of {rate:,} a second over {connections} connections, a chunk one of {streams} streams of
{chunks} chunks, each request with an `x-request-id` and an `x-forwarded-for` of its own. Medians of {rounds} interleaved
rounds; *worth* is the median of each round's own ratio. What is worth less than {least:.0%} goes. `bench/plain.py` has the
switches; `tests/e2e/test_plain.py` holds both routes to the same bytes.

"""


def report(rows: Sequence[Row]) -> str:
    """Method and table."""
    head = METHOD.format(
        now=time.strftime("%Y-%m-%d %H:%M"),
        rate=RATE,
        connections=CONNECTIONS,
        streams=STREAMS,
        chunks=mock.CHUNKS,
        rounds=len(rows[0].with_us),
        least=STAYS_MIN,
    )
    return head + table(rows)


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| taken out | with it, CPU µs | without | worth | |",
        "| --- | --: | --: | --: | --- |",
    ]
    for row in rows:
        ablation = row.ablation
        fast, plain = statistics.median(row.with_us), statistics.median(row.without_us)
        per = f"{ablation.load}{', granian' * (ablation.server == 'granian')}{', /api/v1' * (ablation.base != '/v1')}"
        verdict = "stays" if row.worth >= STAYS_MIN else "goes"
        if ablation.is_price:
            verdict = "within its price" if -row.worth <= STAYS_MIN else "costs too much"
        lines.append(f"| `{ablation.switch}` ({per}): {ablation.what} | {fast:.1f} | {plain:.1f} | {row.worth:.1%} | {verdict} |")
    return "\n".join(lines) + "\n"
