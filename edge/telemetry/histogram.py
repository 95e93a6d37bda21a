"""Cumulative buckets over fixed bounds, each with the trace of the last request that fell into it, if it had one."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Final

from edge.telemetry.exposition import Family, Labels, Sample, number, spelled

SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
OVERHEAD_SECONDS: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 1.0)
LONG_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
TOKEN_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
TOKENS: Final = (16, 256, 4_096, 65_536)


class Histogram:
    """What is observed comes many at a time (`edge.telemetry.metrics`)."""

    __slots__ = ("_place", "bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._place = partial(bisect_left, bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, tuple[str, float, float]] = {}
        """By bucket: the trace, its value, and when it was seen (Unix seconds)."""

    def observe(self, values: Iterable[float]) -> None:
        """So many were seen, each in its bucket."""
        counts, kept = self.counts, tuple(values)
        for at, seen in Counter(map(self._place, kept)).items():
            counts[at] += seen
        self.total += sum(kept)

    def show(self, value: float, trace_id: str, seen_s: float) -> None:
        """One of them belongs to this trace; the last of a bucket is its exemplar."""
        self.exemplars[self._place(value)] = trace_id, value, seen_s

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
