"""Counters and histograms of this process, and their text for Prometheus.

Rule: no label has unbounded values: a provider is one of the table's, an end reason one of the record's, a status one of a few.
Source: names follow Prometheus' conventions; `gen_ai` attributes have no proxy convention yet, so ours are prefixed `tollway_`.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping

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


class Metrics:
    """What this process counts."""

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.ends: defaultdict[str, int] = defaultdict(int)
        self.tokens: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.cost_nano: defaultdict[str, int] = defaultdict(int)
        self.retries: defaultdict[str, int] = defaultdict(int)
        self.first_byte_s = Histogram(SECONDS)
        self.overhead_s = Histogram(OVERHEAD_SECONDS)

    def text(self, gauges: Mapping[str, float]) -> str:
        """The exposition, with `gauges` (name without prefix → value) read at this moment."""
        lines = ["# TYPE tollway_requests_total counter"]
        lines += [
            f'tollway_requests_total{{provider="{provider}",status="{status}"}} {count}'
            for (provider, status), count in sorted(self.requests.items())
        ]
        lines.append("# TYPE tollway_ends_total counter")
        lines += [f'tollway_ends_total{{reason="{reason}"}} {count}' for reason, count in sorted(self.ends.items())]
        lines.append("# TYPE tollway_tokens_total counter")
        lines += [
            f'tollway_tokens_total{{provider="{provider}",kind="{kind}"}} {count}'
            for (provider, kind), count in sorted(self.tokens.items())
        ]
        lines.append("# TYPE tollway_cost_nano_dollars_total counter")
        lines += [
            f'tollway_cost_nano_dollars_total{{provider="{provider}"}} {cost}'
            for provider, cost in sorted(self.cost_nano.items())
        ]
        lines.append("# TYPE tollway_retries_total counter")
        lines += [f'tollway_retries_total{{provider="{provider}"}} {count}' for provider, count in sorted(self.retries.items())]
        lines += self.first_byte_s.lines("tollway_time_to_first_byte_seconds")
        lines += self.overhead_s.lines("tollway_overhead_seconds")
        for name, value in gauges.items():
            lines += [f"# TYPE tollway_{name} gauge", f"tollway_{name} {value:g}"]
        return "\n".join(lines) + "\n"
