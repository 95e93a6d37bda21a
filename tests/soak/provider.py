"""Arbitrary bytes as a provider's body, in batches of a fresh edge each."""

import asyncio
from collections import Counter

from tests.edge.provider_fuzz import fuzz
from tests.soak.report import Report

BATCH = 1_000


def soak(report: Report, seed: int, count: int) -> None:
    outcomes: Counter[str] = Counter()
    for start in range(0, count, BATCH):
        outcomes.update(asyncio.run(fuzz(seed + start // BATCH, min(BATCH, count - start))))
    for outcome, cases in outcomes.most_common():
        report.say(outcome, cases)
    report.say("cases, each answered, charged within its hold, and ended", sum(outcomes.values()))
