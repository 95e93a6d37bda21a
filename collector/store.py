"""What the collector needs of a database: transactions over a small dialect of SQL.

Rule: one piece of work, one transaction; work may be called again from its beginning when the database asks for a retry, so it
has no other effects. Rule: rows are locked in one order everywhere: node, epoch, accounts by name; then nothing dead-locks.
Strategy: two backends (SQLite, PostgreSQL) differ in placeholders, row locks and the bulk insert; all other SQL is shared.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Row = tuple[Any, ...]


class StoreUnavailable(Exception):
    """The database cannot do it now (away, locked, disk full); nothing was changed, asking again may help."""


class Tx(Protocol):
    """An open transaction. SQL uses `?`; append `lock` to a SELECT whose rows are to be changed."""

    lock: str

    def run(self, sql: str, *params: Any) -> int:
        """Execute; how many rows it touched."""

    def row(self, sql: str, *params: Any) -> Row | None: ...

    def rows(self, sql: str, *params: Any) -> list[Row]: ...

    def each(self, sql: str, *params: Any) -> Iterator[Row]:
        """Rows one after another, for results that should not be in memory at once."""

    def run_many(self, sql: str, params: Sequence[Row]) -> None: ...

    def insert_records(self, rows: Sequence[Row]) -> set[str]:
        """Insert rows of RECORD_COLUMNS, skipping known generation ids; the ids that are new."""


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


class Store(Protocol):
    """A database with the collector's schema. Methods block: call them from a worker thread. They raise StoreUnavailable."""

    workers: int
    """How many threads may usefully call at once."""

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a transaction that is durable when this returns, and undone when it raises."""

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on one consistent snapshot."""

    def backup(self, target: Path) -> str:
        """Copy a live database to a file, or say how; a sentence for the operator."""

    def close(self) -> None: ...


def marks(count: int) -> str:
    """`?, ?, ?` for a list of parameters."""
    return ", ".join("?" * count)


def open_store(environ: Mapping[str, str]) -> Store:
    """The store that the environment names: TOLLWAY_DATABASE (`postgresql://…`), else `$TOLLWAY_DATA/collector.db`."""
    url = environ.get("TOLLWAY_DATABASE", "")
    if url.startswith(("postgresql://", "postgres://")):
        from collector.postgres import PostgresStore

        return PostgresStore.open(url)
    if url:
        raise ValueError("TOLLWAY_DATABASE must be a postgresql:// address; leave it unset for SQLite in TOLLWAY_DATA")
    from collector.sqlite import SqliteStore

    return SqliteStore.open(Path(environ.get("TOLLWAY_DATA") or "./data") / "collector.db")
