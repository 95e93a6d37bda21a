"""Counters and histograms of this process, and what is scraped of them.

Rule: no label has unbounded values: a provider is one of the table's, an end reason one of the record's, a status one of a few; a
model is one of the first hundred (`edge.telemetry.gen_ai`). A test holds 40 providers with 500 models each to 5,000 series.
Strategy: a request pays an append; records are counted some at a time, those that are alike together, and before anybody reads.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from operator import attrgetter
from typing import Final

import msgspec

from edge.telemetry.claims import Claims
from edge.telemetry.exposition import Family, counter
from edge.telemetry.gen_ai import GenAi
from edge.telemetry.histogram import OVERHEAD_SECONDS, SECONDS, Histogram
from usage.record import UsageRecord

FOLD_AT: Final = 256
"""So many records are counted at once: one by one each costs several times as much, on the path of its request."""
_kind_of = attrgetter("provider", "model", "status", "end_reason", "usage_source", "stream", "error", "surface")
_sums_of = attrgetter("tokens.prompt", "tokens.completion", "cost_nano")


class Tally(msgspec.Struct, eq=False):
    """What the requests that ended alike have in common: how many, and what they used."""

    requests: int = 0
    prompt: int = 0
    completion: int = 0
    cost_nano: int = 0
    answered: int = 0
    """Of the requests, of which a provider began an answer."""
    estimated: int = 0
    """Of the requests, whose usage no provider told."""


class Metrics:
    """What this process counts. A request that reached no provider is counted under none, with an empty end reason."""

    def __init__(self) -> None:
        self.tallies: defaultdict[tuple[str, int, str], Tally] = defaultdict(Tally)
        self._settled: list[tuple[UsageRecord, float, float]] = []
        self.retries: defaultdict[str, int] = defaultdict(int)
        self.failures: defaultdict[tuple[str, str], int] = defaultdict(int)
        """Attempts that came to nothing, by provider and reason."""
        self.refusals: defaultdict[str, int] = defaultdict(int)
        """By code."""
        self.abandoned: defaultdict[str, int] = defaultdict(int)
        self.abandoned_nano: defaultdict[str, int] = defaultdict(int)
        """What providers that were not waited for may bill to the house, at most."""
        self.restarts: defaultdict[str, int] = defaultdict(int)
        """Of supervised tasks."""
        self.first_byte_s = Histogram(SECONDS)
        self.overhead_s = Histogram(OVERHEAD_SECONDS)
        self.gen_ai = GenAi()
        self.claims = Claims()

    def count(self, record: UsageRecord, first_byte_s: float = 0.0, overhead_s: float = 0.0) -> None:
        """A generation was settled. `first_byte_s`: from its arrival to the first part of an answer, 0 when there was none;
        `overhead_s`: how long it waited for us."""
        settled = self._settled
        settled.append((record, first_byte_s, overhead_s))
        if len(settled) >= FOLD_AT:
            self.fold()

    def fold(self) -> None:
        """Count what was settled since the last time."""
        if not self._settled:
            return
        records, first_bytes, overheads = zip(*self._settled, strict=True)
        self._settled = []
        self.first_byte_s.observe(filter(None, first_bytes))
        self.overhead_s.observe(overheads)
        alike: defaultdict[tuple[object, bool], list[UsageRecord]] = defaultdict(list)
        for record, first_byte_s in zip(records, first_bytes, strict=True):
            alike[_kind_of(record), first_byte_s > 0].append(record)
        for (_, is_answered), group in alike.items():
            one = group[0]
            tally = self.tallies[one.provider, one.status, one.end_reason]
            tally.requests += len(group)
            tally.answered += len(group) * is_answered
            prompts, completions, costs = zip(*map(_sums_of, group), strict=True)
            tally.prompt += sum(prompts)
            tally.completion += sum(completions)
            tally.cost_nano += sum(costs)
            if one.usage_source != "provider":
                tally.estimated += len(group)
            self.gen_ai.count(group)
        for record in records:
            if record.trace:
                self.gen_ai.show(record)

    def count_refused(self, status: int, code: str = "") -> None:
        """A request was answered by us alone."""
        self.tallies["", status, ""].requests += 1
        if code:
            self.refusals[code] += 1

    def families(self) -> Iterator[Family]:
        """What is counted here."""
        self.fold()
        yield from self._of_generations()
        yield from self._of_attempts()
        yield counter("tollway_refusals", "Refusals by code.", (({"code": at}, n) for at, n in sorted(self.refusals.items())))
        yield counter(
            "tollway_task_restarts",
            "Supervised tasks that failed and were started again.",
            (({"task": at}, n) for at, n in sorted(self.restarts.items())),
        )
        yield from self.claims.families()
        yield self.first_byte_s.family("tollway_time_to_first_byte_seconds", "Seconds to the first part of an answer.")
        yield self.overhead_s.family("tollway_overhead_seconds", "Seconds of a request that no provider was waited for.")
        yield from self.gen_ai.families()

    def _of_generations(self) -> Iterator[Family]:
        """Requests, how they ended, and what they were charged."""
        requests: Counter[tuple[str, int]] = Counter()
        ends: Counter[str] = Counter()
        tokens: Counter[tuple[str, str]] = Counter()
        costs: Counter[str] = Counter()
        unsaid: Counter[str] = Counter()
        for (provider, status, end_reason), tally in self.tallies.items():
            requests[provider, status] += tally.requests
            if end_reason:
                ends[end_reason] += tally.requests
                tokens[provider, "prompt"] += tally.prompt
                tokens[provider, "completion"] += tally.completion
                costs[provider] += tally.cost_nano
            if end_reason == "completed":  # nobody tells the usage of an answer that was broken off
                unsaid[provider] += tally.estimated
        yield counter(
            "tollway_requests",
            "Requests answered, by provider (none: refused by us) and status.",
            (({"provider": provider, "status": str(status)}, count) for (provider, status), count in sorted(requests.items())),
        )
        yield counter("tollway_ends", "Generations by how they ended.", (({"reason": at}, n) for at, n in sorted(ends.items())))
        yield counter(
            "tollway_tokens",
            "Tokens that were charged.",
            (({"provider": provider, "kind": kind}, count) for (provider, kind), count in sorted(tokens.items())),
        )
        yield counter(
            "tollway_cost_nano_dollars",
            "What was charged, in nano-dollars.",
            (({"provider": at}, n) for at, n in sorted(costs.items())),
        )
        yield counter(
            "tollway_unsaid_usage",
            "Answers that ended well whose usage the provider did not tell: counted, estimated or bounded here.",
            (({"provider": at}, n) for at, n in sorted(unsaid.items())),
        )

    def _of_attempts(self) -> Iterator[Family]:
        """What was asked of providers, and came to nothing."""
        retries = sorted(self.retries.items())
        yield counter("tollway_retries", "Further attempts after one failed.", (({"provider": at}, n) for at, n in retries))
        outcomes: Counter[tuple[str, str]] = Counter()
        for (provider, _, end_reason), tally in self.tallies.items():
            if end_reason:
                outcomes[provider, "answered"] += tally.answered
        for (provider, _), count in self.failures.items():
            outcomes[provider, "failed"] += count
        yield counter(
            "tollway_attempts",
            "Attempts at providers, by what came of them: an answer began, or none.",
            (({"provider": at, "outcome": outcome}, n) for (at, outcome), n in sorted(outcomes.items())),
        )
        yield counter(
            "tollway_attempt_failures",
            "Attempts that came to nothing, by reason.",
            (({"provider": at, "reason": why}, n) for (at, why), n in sorted(self.failures.items())),
        )
        yield counter(
            "tollway_abandoned",
            "Attempts that were not waited for, because the first token did not come.",
            (({"provider": at}, n) for at, n in sorted(self.abandoned.items())),
        )
        yield counter(
            "tollway_abandoned_nano_dollars_max",
            "What those may bill to the house, at most, in nano-dollars.",
            (({"provider": at}, n) for at, n in sorted(self.abandoned_nano.items())),
        )
