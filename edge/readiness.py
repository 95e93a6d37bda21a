"""Whether this edge should get traffic, and what an operator should know although it should.

Rule: readiness asks what admission asks. It is red where paid work would be refused whoever asks, where a task does not do its
work, and where usage has not been shipped for as long as a lease lives: nothing is served for longer without saying so.
Rule: a collector that says that this node was revoked is not an absent one: nothing new is served from then on, whatever is
leased.
Rule: an absent collector alone turns nothing red while leases carry: all edges would leave the balancer at once. It is told as a
warning.
"""

from collections.abc import Iterator
from time import monotonic

import msgspec

from edge.auth.policies import LIFE_S
from edge.collector_client.shipper import Shipper
from edge.credit.credit import Credit
from edge.journal import Journal, Recovery

AWAY_S = 10.0
"""An absence of the collector, or a failure to ship, of so long is told."""


class Readiness(msgspec.Struct, frozen=True):
    """`problems`: why no traffic should come. `warnings`: what is wrong although it may."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        return not self.problems

    def body(self) -> bytes:
        """JSON for /readyz."""
        facts = {"status": "ready" if self.is_ready else "not ready", "problems": self.problems, "warnings": self.warnings}
        return msgspec.json.encode({name: value for name, value in facts.items() if value})


def judge(journal: Journal, credit: Credit, shipper: Shipper, recovery: Recovery, failing: list[str]) -> Readiness:
    """A process that has an epoch. `failing`: the supervised tasks that do not do their work."""
    now_s = monotonic()
    problems = [*failing, *_of_journal(journal)]
    warnings: list[str] = []
    if shipper.outage.is_lasting:
        problems.append(f"usage cannot be shipped: {shipper.outage.problem}")
    for since_s, what in _failures(credit, shipper):
        age_s = now_s - since_s
        if age_s >= LIFE_S:
            problems.append(f"{what}, for {age_s:.0f} s")
        elif age_s >= AWAY_S:
            warnings.append(f"{what}, for {age_s:.0f} s")
    if recovery.problem:
        warnings.append(recovery.problem)
    if credit.is_fenced:
        problems.append("another process runs as this node")
    if credit.revoked:
        problems.append(credit.revoked)
    return Readiness(tuple(problems), tuple(warnings))


def _of_journal(journal: Journal) -> Iterator[str]:
    if journal.failure:
        yield journal.failure
    elif journal.is_full:
        yield f"the journal has reached its {journal.bytes_max} bytes; usage waits to be shipped"


def _failures(credit: Credit, shipper: Shipper) -> Iterator[tuple[float, str]]:
    if credit.problem:
        yield credit.contact_s, f"the collector does not answer: {credit.problem}"
    if shipper.outage.since_s is not None and not shipper.outage.is_lasting:
        yield shipper.outage.since_s, f"usage cannot be shipped: {shipper.outage.problem}"
