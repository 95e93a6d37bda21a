"""Where a generation is written down: what a relay needs of this edge to admit it, to settle it and to count it."""

from collections.abc import Callable

from edge.credit.credit import Credit
from edge.journal import Journal
from edge.limits.limiter import RateLimiter
from edge.telemetry.metrics import Metrics
from usage.record import UsageRecord


class AccountingContext:
    """Where a generation is written down: the journal, the credit it is paid from, the counters."""

    __slots__ = ("credit", "epoch", "journal", "limiter", "metrics", "node", "on_record")

    def __init__(
        self,
        node: str,
        epoch: int,
        journal: Journal,
        credit: Credit,
        metrics: Metrics,
        limiter: RateLimiter | None = None,
        on_record: Callable[[UsageRecord], None] | None = None,
    ) -> None:
        """`on_record` is given each record, for the log and traces."""
        self.limiter = limiter or RateLimiter()
        self.on_record = on_record
        self.node = node
        self.epoch = epoch
        self.journal = journal
        self.credit = credit
        self.metrics = metrics
