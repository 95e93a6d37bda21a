"""What the collector needs of a database: transactions over a small dialect of SQL.

Rule: one piece of work, one transaction; work may be called again from its beginning when the database asks for a retry, so it
has no other effects. Rule: rows are locked in one order everywhere: node, epoch, accounts by name; then nothing dead-locks.
Strategy: two backends (SQLite, PostgreSQL) differ in placeholders, row locks and the bulk insert; all other SQL is shared.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Row = tuple[Any, ...]


class StoreUnavailable(Exception):
    """The database cannot do it now (away, locked, disk full); nothing was changed, asking again may help."""


class StoreDamaged(StoreUnavailable):
    """What is on the disk is not the database any more: it has to be restored from a backup."""


class NoBooks(Exception):
    """There is nothing at that place yet, and nobody asked for it to be made."""


class Tx(Protocol):
    """An open transaction. SQL uses `?`; append `lock` to a SELECT whose rows are to be changed."""

    lock: str
    has_lateral: bool
    """Whether a subquery in FROM may use what stands before it. Where it may not, CROSS JOIN keeps the order it is written in."""

    def run(self, sql: str, *params: Any) -> int:
        """Execute; how many rows it touched."""

    def row(self, sql: str, *params: Any) -> Row | None: ...

    def rows(self, sql: str, *params: Any) -> list[Row]: ...

    def each(self, sql: str, *params: Any) -> Iterator[Row]:
        """Rows one after another, for results that should not be in memory at once."""

    def by_index(self) -> None:
        """Until this transaction ends, rows are found by index, whatever the database believes of its tables."""

    def run_many(self, sql: str, params: Sequence[Row]) -> None: ...

    def insert_records(self, rows: Sequence[Row]) -> set[str]:
        """Insert rows of RECORD_COLUMNS, skipping known generation ids; the ids that are new."""

    def add_sums(self, table: str, rows: Sequence[Row]) -> None:
        """Add to rows of a table of SUM_KEYS: its key columns, then MEASURES; a row that is not there is made."""

    def freeze_records(self, before: str) -> None:
        """No record below the generation id `before`, a month's first, comes in until this transaction ends."""

    def drop_records(self, before: str) -> None:
        """Delete the records whose generation id is below `before`, a month's first."""


RECORD_COLUMNS: tuple[tuple[str, str], ...] = (
    ("gen_id", "text"),
    ("node", "text"),
    ("epoch", "bigint"),
    ("seq", "bigint"),
    ("account", "text"),
    ("purse", "text"),
    ("started_ms", "bigint"),
    ("cost_nano", "bigint"),
    ("payload", "text"),
)

SUM_KEYS: dict[str, tuple[tuple[str, str], ...]] = {
    table: (("account", "text"), (unit, "bigint"), ("key_id", "text"), ("model", "text"), ("provider", "text"))
    for table, unit in (("usage_quarters", "quarter"), ("usage_days", "day"))
}
"""The tables of sums, and what their rows are known by."""
MEASURES = (
    "requests",
    "errors",
    "prompt",
    "cached",
    "cache_write",
    "completion",
    "reasoning",
    "cost_nano",
    "latency_ms",
    "ttft_ms",
)
"""What is summed, all of it integers: counts, tokens, nano-dollars, milliseconds."""


def add_up(table: str) -> str:
    """The end of an upsert that adds to a table of sums."""
    names = ", ".join(name for name, _ in SUM_KEYS[table])
    return f" ON CONFLICT ({names}) DO UPDATE SET " + ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in MEASURES)


class Store(Protocol):
    """A database with the collector's schema. Methods block: call them from a worker thread. They raise StoreUnavailable."""

    workers: int
    """How many threads may usefully call at once."""

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a transaction that is durable when this returns, and undone when it raises."""

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on one consistent snapshot."""

    def backup(self, target: Path, check: Callable[[Any], Sequence[str]] = lambda tx: ()) -> str:
        """Copy a live database to a file, or say how; a sentence for the operator. A copy that cannot be read from end to end, or
        in which `check` finds a fault, is no backup: it is removed, and StoreDamaged says why."""

    def close(self) -> None: ...


def placeholders(count: int) -> str:
    """`?, ?, ?` for a list of parameters."""
    return ", ".join("?" * count)
