"""What a collector tells Prometheus: counters of this process, and what the named terms absorbed in the whole store.

Rule: a figure that is told has its line in FIGURES, so that each number that is scraped is explained.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from collector.leasing.nodes import stranded
from collector.ledger.ledger import TERMS
from collector.service import Collector
from collector.sinks.outbox import backlogs
from collector.store.contract import Tx, placeholders
from usage.pricing import dollars

Kind = Literal["counter", "gauge"]
FIGURES: Final[dict[str, tuple[Kind, str]]] = {
    "records_total": ("counter", "Records that edges sent."),
    "rejected_total": ("counter", "Of them, those that were refused and are charged to nobody."),
    "batches_total": ("counter", "Batches that they came in."),
    "grants_total": ("counter", "Grants of credit to nodes."),
    "rejected_by_reason_total": ("counter", "Records that were refused, by reason."),
    "stranded_dollars": ("gauge", "Credit in leases of nodes that are not heard of, in dollars."),
    "postings": ("gauge", "Lines of the ledger."),
    "absorbed_dollars": ("gauge", "What was used and no account could pay, by named term, in dollars."),
    "sink_waiting_events": ("gauge", "Events that wait for a sink."),
    "sink_oldest_seconds": ("gauge", "Age of the oldest of them; 0: there is none."),
    "sink_dead_events": ("gauge", "Events that a sink refused for good."),
    "sink_skipped_events": ("gauge", "Events that came while a sink's outbox was full."),
    "sink_published_events_total": ("counter", "Events that a sink took."),
}
Values = Iterable[tuple[str, object]]
"""(labels as they stand in the line, value)."""


async def exposition(collector: Collector) -> str:
    """Prometheus' text. Unreachable: the store cannot be read."""
    terms, postings, stranded_nano = await collector.read(lambda tx, now: (_terms_nano(tx), _postings(tx), stranded(tx, now)))
    values: dict[str, Values] = {f"{name}_total": [("", value)] for name, value in collector.counts.items()}
    values["rejected_by_reason_total"] = [(f'{{reason="{at}"}}', n) for at, n in sorted(collector.rejected_by_kind.items())]
    values["stranded_dollars"] = [("", dollars(stranded_nano))]
    values["postings"] = [("", postings)]
    values["absorbed_dollars"] = [(f'{{term="{term}"}}', dollars(terms.get(term, 0))) for term in TERMS]
    return written(values | await _of_sinks(collector))


def written(values: Mapping[str, Values]) -> str:
    """Prometheus' text format, each figure with its HELP and TYPE."""
    lines = []
    for figure, samples in values.items():
        kind, text = FIGURES[figure]
        name = f"tollway_collector_{figure}"
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *(f"{name}{labels} {value}" for labels, value in samples)]
    return "\n".join(lines) + "\n"


async def _of_sinks(collector: Collector) -> dict[str, Values]:
    """How each sink is doing; nothing where there is none."""
    if not collector.sinks:
        return {}
    names = [runner.sink.name for runner in collector.sinks]
    rows, now_ms = await collector.read(lambda tx, now: (backlogs(tx, names), now))

    def of(value_of: Mapping[str, object]) -> Values:
        return [(f'{{sink="{sink}"}}', value) for sink, value in value_of.items()]

    return {
        "sink_waiting_events": of({row.sink: row.waiting for row in rows}),
        "sink_oldest_seconds": of({row.sink: (now_ms - row.oldest_ms) / 1000 if row.oldest_ms else 0 for row in rows}),
        "sink_dead_events": of({row.sink: row.dead for row in rows}),
        "sink_skipped_events": of({row.sink: row.skipped for row in rows}),
        "sink_published_events_total": of({runner.sink.name: runner.published for runner in collector.sinks}),
    }


def _terms_nano(tx: Tx) -> dict[str, int]:
    named = f"debit IN ({placeholders(len(TERMS))})"
    return dict(tx.rows(f"SELECT debit, CAST(SUM(amount_nano) AS BIGINT) FROM postings WHERE {named} GROUP BY debit", *TERMS))


def _postings(tx: Tx) -> int:
    row = tx.row("SELECT MAX(posting_id) FROM postings")
    return (row and row[0]) or 0
