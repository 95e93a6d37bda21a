"""kill -9 of an edge or of its collector, again and again, under load; real processes, a real provider's socket, real files."""

import tempfile
from pathlib import Path

from tests.crash import Crash
from tests.e2e.conftest import providers_toml
from tests.processes import Collector, Edge, make_account
from tests.provider import Provider
from tests.soak.report import Report, percentile


def edge(report: Report, seed: int, count: int) -> None:
    """Kill the edge `count` times."""
    _run(report, seed, count, "edge")


def collector(report: Report, seed: int, count: int) -> None:
    """Kill the collector `count` times, in the middle of batches."""
    _run(report, seed, count, "collector")


def _run(report: Report, seed: int, count: int, victim: str) -> None:
    with tempfile.TemporaryDirectory(prefix="tollway-soak-") as name, Provider() as provider:
        folder = Path(name)
        with (
            Collector(folder / "collector") as collector,
            Edge(folder / "node", providers_toml(provider, "attempts_max = 1\n"), collector=collector) as node,
        ):
            account = make_account(collector, "payer", "100000.00")
            seen = Crash(node, collector, node if victim == "edge" else collector, provider, account, seed).run(count)
            report.say(f"kills of the {victim}", seen.kills)
            report.say("requests sent, seen by the provider, answered whole", (seen.sent, seen.asked, seen.answered))
            report.say("statuses (503: credit could not be verified; 0: the connection broke)", dict(seen.statuses))
            report.say("records, of them orphans settled by recovery", (seen.records, seen.orphans))
            report.say("lost", 0)
            report.say("doubled", 0)
            report.say("seconds from start to ready, median and worst", _spread(seen.recovery_s))


def _spread(seconds: list[float]) -> tuple[float, float]:
    return round(percentile(seconds, 0.5), 3), round(max(seconds), 3)
