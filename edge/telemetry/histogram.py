"""Cumulative buckets over fixed bounds, each with the trace of the last request that fell into it, if it had one."""

import time
from bisect import bisect_left
from typing import Final

from edge.telemetry.exposition import Family, Labels, Sample, number, spelled

SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
OVERHEAD_SECONDS: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 1.0)
LONG_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
TOKEN_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
TOKENS: Final = (16, 256, 4_096, 65_536)


class Histogram:
    """`observe` is on the path of a request; the rest is not."""

    __slots__ = ("bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, tuple[str, float, float]] = {}
        """By bucket: the trace, its value, and when it was seen (Unix seconds)."""

    def observe(self, value: float, trace_id: str = "") -> None:
        at = bisect_left(self.bounds, value)
        self.counts[at] += 1
        self.total += value
        if trace_id:
            self.exemplars[at] = trace_id, value, time.time()

    def samples(self, labels: Labels | None = None) -> list[Sample]:
        own = spelled(labels or {})
        comma = "," if own else ""
        found, seen = [], 0
        buckets = [*(repr(float(bound)) for bound in self.bounds), "+Inf"]
        for at, (bucket, count) in enumerate(zip(buckets, self.counts, strict=True)):
            seen += count
            found.append(Sample("_bucket", f'{own}{comma}le="{bucket}"', seen, self._exemplar(at)))
        return [*found, Sample("_sum", own, self.total), Sample("_count", own, seen)]

    def _exemplar(self, at: int) -> str:
        known = self.exemplars.get(at)
        return "" if known is None else f'{{trace_id="{known[0]}"}} {number(known[1])} {known[2]:.3f}'

    def family(self, name: str, text: str) -> Family:
        return Family(name, "histogram", text, self.samples())
