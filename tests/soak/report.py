"""The figures of a soak, printed as they come so that a long run can be followed."""

import sys
import time


class Report:
    def __init__(self, name: str, seed: int) -> None:
        self._started_s = time.monotonic()
        self.say("soak", f"{name}, seed {seed}")

    def say(self, what: str, figure: object) -> None:
        sys.stdout.write(f"[{time.monotonic() - self._started_s:8.1f} s] {what}: {figure}\n")
        sys.stdout.flush()


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
