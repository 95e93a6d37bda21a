"""What this process makes of its providers' claims: those that could not be, and what they say they bill beside what we charge.

Rule: the operator is told in the log, but never more than once in WARN_S per provider; every claim is counted. Rule: nothing of
what a provider wrote is in the log but its numbers.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator

import msgspec

from edge.telemetry.exposition import Family, counter, gauge
from routing.metering.meter import Bill
from usage.pricing import PICO_PER_NANO, dollars

log = logging.getLogger("tollway.claims")
WARN_S = 60.0
MODELS_SHOWN = 100


class CostComparison(msgspec.Struct):
    """Over the generations of one model whose cost the provider told: how many, what we charged, and what it says, in picos."""

    generations: int = 0
    ours_pico: int = 0
    theirs_pico: int = 0


class Claims:
    """Counters by provider and by model of the table."""

    def __init__(self) -> None:
        self.bounded: defaultdict[str, int] = defaultdict(int)
        self.compared: defaultdict[str, CostComparison] = defaultdict(CostComparison)
        self._warned: dict[str, tuple[float, int]] = {}
        """When the operator was last told of a provider, and how many claims had been counted then."""

    def report(self, provider: str, fault: str, now_s: float) -> None:
        """A claim could not be and was charged within its bounds."""
        self.bounded[provider] += 1
        warned_s, told = self._warned.get(provider, (float("-inf"), 0))
        if now_s - warned_s >= WARN_S:
            self._warned[provider] = now_s, self.bounded[provider]
            more = self.bounded[provider] - told - 1
            log.warning(
                "provider %s claims a usage that cannot be (%s); charged within bounds%s",
                provider,
                fault,
                f"; {more} more such since the last warning" if more else "",
            )

    def compare(self, model_id: str, bill: Bill) -> None:
        """The provider says what it bills for this."""
        assert bill.upstream_cost_pico is not None
        compared = self.compared[model_id]
        compared.generations += 1
        compared.ours_pico += bill.cost_nano * PICO_PER_NANO
        compared.theirs_pico += bill.upstream_cost_pico

    def families(self) -> Iterator[Family]:
        """The exposition for Prometheus: of all models, those that were used most."""
        bounded = sorted(self.bounded.items())
        yield counter(
            "tollway_usage_bounded", "Claims of a usage that could not be.", (({"provider": at}, count) for at, count in bounded)
        )
        most = sorted(self.compared, key=lambda model: -self.compared[model].generations)[:MODELS_SHOWN]
        rows = [(model, self.compared[model]) for model in sorted(most)]
        yield counter(
            "tollway_upstream_cost_dollars",
            "What providers say that they bill.",
            (({"model": model}, _dollars(compared.theirs_pico)) for model, compared in rows),
        )
        yield gauge(
            "tollway_upstream_cost_difference_dollars",
            "What providers say that they bill beyond what we charge.",
            (({"model": model}, _dollars(compared.theirs_pico - compared.ours_pico)) for model, compared in rows),
        )


def _dollars(pico: int) -> float:
    """To the nano-dollar, which is what a sum of charges is rounded to."""
    return float(dollars(pico // PICO_PER_NANO))
