"""The outbox: what each sink has still to be told, written in the transaction that books it.

Rule: a batch's facts and its rows here are committed together, so nothing that was booked is forgotten and nothing is told
that was not booked. A row is deleted when its sink has taken it. Rule: money never waits: when a sink's rows reach ROWS_MAX,
further facts are only counted (`skipped`), and `tollway sinks replay` writes them again from the records.
Strategy: one row for a batch of facts and sink; rows are claimed one at a time, so collectors may run beside one another.
"""

from collections.abc import Iterable, Sequence

import msgspec

from collector.store.contract import Tx

ROWS_MAX = 100_000
CLAIM_MS = 60_000
"""How long a row belongs to the process that publishes it; twice told is deduplicated by the sink."""
FACTS_PER_ROW = 500


class Row(msgspec.Struct, frozen=True):
    """A claimed row: records as JSON, a line each."""

    row_id: int
    payloads: tuple[str, ...]
    attempts: int


class Backlog(msgspec.Struct, frozen=True):
    """Of one sink: events that wait and since when (Unix ms, 0: none waits); that it refuses for good; that were not written."""

    sink: str
    waiting: int
    oldest_ms: int
    dead: int
    skipped: int
    problem: str


def enqueue(tx: Tx, sinks: Iterable[str], payloads: Sequence[str], now_ms: int) -> None:
    """Tell these sinks of these records."""
    parts = ["\n".join(payloads[at : at + FACTS_PER_ROW]) for at in range(0, len(payloads), FACTS_PER_ROW)]
    counts = [len(payloads[at : at + FACTS_PER_ROW]) for at in range(0, len(payloads), FACTS_PER_ROW)]
    rows = [(sink, count, part, now_ms, 0) for sink in sinks for count, part in zip(counts, parts, strict=True)]
    tx.run_many("INSERT INTO outbox (sink, events, payload, created_ms, due_ms) VALUES (?, ?, ?, ?, ?)", rows)


def skip(tx: Tx, sink: str, events: int) -> None:
    """Count what was not written for a sink whose rows are too many."""
    tx.run(
        "INSERT INTO sinks (sink, skipped) VALUES (?, ?)"
        " ON CONFLICT (sink) DO UPDATE SET skipped = sinks.skipped + excluded.skipped",
        sink,
        events,
    )


def claim(tx: Tx, sink: str, now_ms: int) -> Row | None:
    """The oldest row of a sink that nobody else publishes; None when there is none."""
    row = tx.row(
        "SELECT row_id, payload, attempts FROM outbox WHERE sink = ? AND state = 'waiting' AND due_ms <= ?"
        f" ORDER BY row_id LIMIT 1{tx.lock}",
        *(sink, now_ms),
    )
    if row is None:
        return None
    row_id, payload, attempts = row
    tx.run("UPDATE outbox SET due_ms = ?, attempts = attempts + 1 WHERE row_id = ?", now_ms + CLAIM_MS, row_id)
    return Row(row_id, tuple(payload.split("\n")), attempts)


def done(tx: Tx, row_id: int) -> None:
    """A row's events were taken."""
    tx.run("DELETE FROM outbox WHERE row_id = ?", row_id)


def release(tx: Tx, row_id: int, due_ms: int) -> None:
    """Back into the line: the sink could not take it now."""
    tx.run("UPDATE outbox SET due_ms = ? WHERE row_id = ?", due_ms, row_id)


def keep_dead(tx: Tx, row_id: int, sink: str, payloads: Sequence[str], reason: str, now_ms: int) -> None:
    """Replace a row by dead letters: one for each of its facts that the sink refuses for good."""
    rows = [(sink, 1, payload, now_ms, now_ms, "dead", reason[:300]) for payload in payloads]
    tx.run_many(
        "INSERT INTO outbox (sink, events, payload, created_ms, due_ms, state, problem) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
    )
    done(tx, row_id)


def is_full(tx: Tx, sink: str) -> bool:
    """Whether a sink is so far behind that its events are only counted."""
    row = tx.row("SELECT COUNT(*) FROM outbox WHERE sink = ? AND state = 'waiting'", sink)
    return row is not None and row[0] >= ROWS_MAX


def revive(tx: Tx, sink: str) -> int:
    """Dead letters into the line again; how many."""
    sql = "UPDATE outbox SET state = 'waiting', due_ms = 0, attempts = 0, problem = '' WHERE sink = ? AND state = 'dead'"
    return tx.run(sql, sink)


def replay_part(tx: Tx, sink: str, after: str, until: str, now_ms: int) -> tuple[int, str]:
    """Write the next records of ids in (after, until) for a sink again: (how many, the last id; none is left where it is empty).

    A part at a time, each its own transaction: a replay of a year holds up no batch. Twice told is deduplicated by the sink.
    """
    rows = tx.rows(
        "SELECT gen_id, payload FROM records WHERE gen_id > ? AND gen_id < ? ORDER BY gen_id LIMIT ?", after, until, FACTS_PER_ROW
    )
    enqueue(tx, (sink,), [payload for _, payload in rows], now_ms)
    tx.run(
        "UPDATE sinks SET skipped = CASE WHEN skipped > ? THEN skipped - ? ELSE 0 END WHERE sink = ?", len(rows), len(rows), sink
    )
    return len(rows), rows[-1][0] if len(rows) == FACTS_PER_ROW else ""


def backlogs(tx: Tx, names: Iterable[str] = ()) -> list[Backlog]:
    """Of the named sinks, and of every other one that something waits for."""
    rows = {
        row[0]: row[1:]
        for row in tx.rows(
            "SELECT sink, CAST(SUM(CASE WHEN state = 'waiting' THEN events ELSE 0 END) AS BIGINT),"
            " MIN(CASE WHEN state = 'waiting' THEN created_ms END),"
            " CAST(SUM(CASE WHEN state = 'dead' THEN events ELSE 0 END) AS BIGINT), MAX(problem) FROM outbox GROUP BY sink"
        )
    }
    skipped: dict[str, int] = dict(tx.rows("SELECT sink, skipped FROM sinks"))
    found = []
    for sink in sorted({*names, *rows, *skipped}):
        waiting, oldest_ms, dead, problem = rows.get(sink, (0, None, 0, ""))
        found.append(Backlog(sink, waiting, oldest_ms or 0, dead, skipped.get(sink, 0), problem or ""))
    return found
