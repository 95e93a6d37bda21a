"""Usage objects mangled byte by byte, at length: `scripts/soak claims`."""

from tests.routing.metering.test_claims import check_mangled
from tests.soak.report import Report


def soak(report: Report, seed: int, count: int) -> None:
    """`count` streams with a few mangled usages each."""
    for number in range(count):
        check_mangled(seed + number)
    report.say("streams with mangled usages, each charged within its bounds", count)
