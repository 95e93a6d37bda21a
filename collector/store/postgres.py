"""The store on PostgreSQL: collector processes side by side on one database.

Strategy: READ COMMITTED with explicit row locks in one order; a generation id that another process is inserting is waited for and
then skipped (`ON CONFLICT DO NOTHING`). One connection per worker thread, opened when first used, dropped when it breaks.
Limits: a deadlock or a serialization failure is tried again a few times; a lost connection is StoreUnavailable, and since
every node message may be repeated, the node simply asks again.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg import errors

from collector.store import partitions
from collector.store.contract import MEASURES, RECORD_COLUMNS, SUM_KEYS, Row, StoreUnavailable, T, add_up
from collector.store.schema import VERSION, migrate

CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_MS = 10_000
ATTEMPTS_MAX = 5
RETRY_S = 0.02
log = logging.getLogger("tollway.collector")
_MIGRATION_LOCK = 0x746F6C6C

_NAMES = ", ".join(name for name, _ in RECORD_COLUMNS)
_INSERT = (
    f"INSERT INTO records ({_NAMES}) SELECT {_NAMES} FROM unnest({', '.join(f'%s::{kind}[]' for _, kind in RECORD_COLUMNS)})"
    f" AS fresh ({_NAMES}) ON CONFLICT (gen_id) DO NOTHING RETURNING gen_id"
)


def _upsert(table: str) -> str:
    columns = (*SUM_KEYS[table], *((name, "bigint") for name in MEASURES))
    names = ", ".join(name for name, _ in columns)
    arrays = ", ".join(f"%s::{kind}[]" for _, kind in columns)
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM unnest({arrays}) AS fresh ({names})" + add_up(table)


_SUMS = {table: _upsert(table) for table in SUM_KEYS}


@lru_cache(256)
def _translate(sql: str) -> str:
    return sql.replace("?", "%s")


class _PostgresTx:
    lock = " FOR UPDATE"
    has_lateral = True

    def __init__(self, connection: psycopg.Connection[Row], months: frozenset[partitions.Month] = frozenset()) -> None:
        self._connection = connection
        self.months = months
        """Months known to have a partition; the store remembers them once the transaction is committed."""

    def run(self, sql: str, *params: Any) -> int:
        return self._connection.execute(_translate(sql), params).rowcount

    def row(self, sql: str, *params: Any) -> Row | None:
        return self._connection.execute(_translate(sql), params).fetchone()

    def rows(self, sql: str, *params: Any) -> list[Row]:
        return self._connection.execute(_translate(sql), params).fetchall()

    def each(self, sql: str, *params: Any) -> Iterator[Row]:
        with self._connection.cursor(name="each") as cursor:
            cursor.itersize = 2_000
            yield from cursor.execute(_translate(sql), params)

    def by_index(self) -> None:
        """A join with ranges is guessed at a third of the table each, and an index then looks dearer than reading everything."""
        self._connection.execute("SET LOCAL enable_seqscan = off")
        self._connection.execute("SET LOCAL enable_bitmapscan = off")
        self._connection.execute("SET LOCAL enable_material = off")
        self._connection.execute("SET LOCAL jit = off")

    def run_many(self, sql: str, params: Sequence[Row]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_translate(sql), params)

    def insert_records(self, rows: Sequence[Row]) -> set[str]:
        if not rows:
            return set()
        self.make_months(row[0] for row in rows)
        columns = [list(column) for column in zip(*rows, strict=True)]
        return {row[0] for row in self._connection.execute(_INSERT, columns)}

    def make_months(self, gen_ids: Iterable[str]) -> None:
        """See to it that these ids, and those of the near future, have a partition."""
        months = partitions.months_of(gen_ids, time.time_ns() // 1_000_000)
        if not months <= self.months:
            partitions.make(self, months)
            self.months |= months

    def add_sums(self, table: str, rows: Sequence[Row]) -> None:
        if rows:
            self._connection.execute(_SUMS[table], [list(column) for column in zip(*rows, strict=True)])

    def freeze_records(self, before: str) -> None:
        for name in partitions.below(self, before):
            self.run(f"LOCK TABLE {name} IN SHARE MODE")

    def drop_records(self, before: str) -> None:
        partitions.drop(self, before)
        self.months = frozenset()


class PostgresStore:
    """A collector's database on a PostgreSQL server."""

    workers = 4

    def __init__(self, url: str) -> None:
        self._url = url
        self._of_thread = threading.local()
        self._opened: list[psycopg.Connection[Row]] = []
        self._opening = threading.Lock()
        self._months: frozenset[partitions.Month] = frozenset()

    def __repr__(self) -> str:
        return "<PostgresStore>"

    @classmethod
    def open(cls, url: str, *, makes: bool = True) -> "PostgresStore":
        """Connect and bring the schema up to date; SchemaTooNew, StoreUnavailable, NoBooks unless `makes`."""
        store = cls(url)
        try:
            store.write(partial(_bring_up_to_date, makes=makes))
        except BaseException:
            store.close()
            raise
        return store

    def write(self, work: Callable[[Any], T]) -> T:
        return self._transact("BEGIN", work)

    def read(self, work: Callable[[Any], T]) -> T:
        return self._transact("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", work)

    def backup(self, target: Path, check: Callable[[Any], Sequence[str]] = lambda tx: ()) -> str:
        """PostgreSQL has its own tool for this; the address stays out of the line, for it may hold a password."""
        return f'pg_dump --format=custom --file={target} "$TOLLWAY_DATABASE"'

    def close(self) -> None:
        with self._opening:
            for connection in self._opened:
                connection.close()
            self._opened.clear()

    def _transact(self, begin: str, work: Callable[[Any], T]) -> T:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                outcome, self._months = _once(self._connect(), begin, work, self._months)
                return outcome
            except (errors.DeadlockDetected, errors.SerializationFailure) as error:
                log.warning("a transaction is tried again (%d of %d): %s", attempt, ATTEMPTS_MAX, type(error).__name__)
                if attempt == ATTEMPTS_MAX:
                    raise StoreUnavailable(self._explain(error)) from error
                time.sleep(random.uniform(0, RETRY_S * attempt))
            except errors.IntegrityError:
                raise
            except (psycopg.Error, OSError) as error:
                raise StoreUnavailable(self._explain(error)) from error
        raise AssertionError("unreachable")

    def _explain(self, error: Exception) -> str:
        """One line, without the address: there may be a password in it."""
        return " ".join(str(error).replace(self._url, "the address").split()) or type(error).__name__

    def _connect(self) -> psycopg.Connection[Row]:
        known: psycopg.Connection[Row] | None = getattr(self._of_thread, "connection", None)
        if known is not None and not known.closed:
            return known
        connection = psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
        connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
        self._of_thread.connection = connection
        with self._opening:
            self._opened = [other for other in self._opened if not other.closed] + [connection]
        return connection


def _once(
    connection: psycopg.Connection[Row], begin: str, work: Callable[[Any], T], months: frozenset[partitions.Month]
) -> tuple[T, frozenset[partitions.Month]]:
    """What `work` gave, and the months that have a partition now."""
    tx = _PostgresTx(connection, months)
    try:
        connection.execute(begin)
        outcome = work(tx)
        connection.execute("COMMIT")
    except BaseException:
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()
        raise
    return outcome, tx.months


def _bring_up_to_date(tx: _PostgresTx, *, makes: bool) -> None:
    tx.row("SELECT pg_advisory_xact_lock(?)", _MIGRATION_LOCK)
    tx.run("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
    row = tx.row("SELECT version FROM schema_version")
    found = row[0] if row else 0
    migrate("postgres", found, tx.run, makes=makes)
    if row is None:
        tx.run("INSERT INTO schema_version (version) VALUES (?)", VERSION)
    elif found != VERSION:
        tx.run("UPDATE schema_version SET version = ?", VERSION)
    tx.make_months(())
