"""Counters and histograms of this process, and their text for Prometheus.

Rule: no label has unbounded values: a provider is one of the table's, an end reason one of the record's, a status one of a few.
Source: names follow Prometheus' conventions; `gen_ai` attributes have no proxy convention yet, so ours are prefixed `tollway_`.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping

import msgspec

from edge.telemetry.claims import Claims
from usage.record import UsageRecord

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
OVERHEAD_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 1.0)


class Histogram:
    """Cumulative buckets over fixed bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str) -> list[str]:
        seen = 0
        lines = [f"# TYPE {name} histogram"]
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            seen += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {seen}')
        return [*lines, f"{name}_sum {self.total:.6f}", f"{name}_count {seen}"]


class Tally(msgspec.Struct, eq=False):
    """What the requests that ended alike have in common: how many, and what they used."""

    requests: int = 0
    prompt: int = 0
    completion: int = 0
    cost_nano: int = 0


class Metrics:
    """What this process counts. A request that reached no provider is counted under none, with an empty end reason."""

    def __init__(self) -> None:
        self.tallies: defaultdict[tuple[str, int, str], Tally] = defaultdict(Tally)
        self.retries: defaultdict[str, int] = defaultdict(int)
        self.restarts: defaultdict[str, int] = defaultdict(int)
        """Of supervised tasks."""
        self.first_byte_s = Histogram(SECONDS)
        self.overhead_s = Histogram(OVERHEAD_SECONDS)
        self.claims = Claims()

    def count(self, record: UsageRecord) -> None:
        """A generation was settled."""
        tally = self.tallies[record.provider, record.status, record.end_reason]
        tally.requests += 1
        tally.prompt += record.tokens.prompt
        tally.completion += record.tokens.completion
        tally.cost_nano += record.cost_nano

    def count_refused(self, status: int) -> None:
        """A request was answered by us alone."""
        self.tallies["", status, ""].requests += 1

    def text(self, gauges: Mapping[str, float]) -> str:
        """The exposition, with `gauges` (name without prefix → value) read at this moment."""
        requests: Counter[str] = Counter()
        ends: Counter[str] = Counter()
        tokens: Counter[str] = Counter()
        costs: Counter[str] = Counter()
        for (provider, status, end_reason), tally in self.tallies.items():
            requests[f'provider="{provider}",status="{status}"'] += tally.requests
            if end_reason:
                ends[f'reason="{end_reason}"'] += tally.requests
                tokens[f'provider="{provider}",kind="prompt"'] += tally.prompt
                tokens[f'provider="{provider}",kind="completion"'] += tally.completion
                costs[f'provider="{provider}"'] += tally.cost_nano
        retries = {f'provider="{provider}"': count for provider, count in self.retries.items()}
        restarts = {f'task="{name}"': count for name, count in self.restarts.items()}
        counters = {
            "task_restarts": restarts,
            "requests": requests,
            "ends": ends,
            "tokens": tokens,
            "cost_nano_dollars": costs,
            "retries": retries,
        }
        lines = []
        for name, counts in counters.items():
            lines.append(f"# TYPE tollway_{name}_total counter")
            lines += [f"tollway_{name}_total{{{labels}}} {count}" for labels, count in sorted(counts.items())]
        lines += self.claims.lines()
        lines += self.first_byte_s.lines("tollway_time_to_first_byte_seconds")
        lines += self.overhead_s.lines("tollway_overhead_seconds")
        for name, value in gauges.items():
            lines += [f"# TYPE tollway_{name.partition('{')[0]} gauge", f"tollway_{name} {value:.15g}"]
        return "\n".join(lines) + "\n"
