"""The store on SQLite: one file, one writer, durable at each commit.

Strategy: WAL with synchronous=FULL, so a commit survives a power cut; a second connection reads snapshots beside the writer.
`BEGIN IMMEDIATE` and a busy time-out let the command line and a running server share the file.
Limits: one machine, local disk. Busy for longer than `BUSY_S` is StoreUnavailable.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

from collector.store.contract import (
    MEASURES,
    RECORD_COLUMNS,
    SUM_KEYS,
    Row,
    StoreDamaged,
    StoreUnavailable,
    T,
    add_up,
    placeholders,
)
from collector.store.schema import VERSION, migrate

BUSY_S = 10.0
_INSERT = f"INSERT INTO records ({', '.join(name for name, _ in RECORD_COLUMNS)}) VALUES "
_ROW = f"({placeholders(len(RECORD_COLUMNS))})"
_ROWS_MAX = 999 // len(RECORD_COLUMNS)
"""999 parameters are what every SQLite takes. With more, each size of the statement would be kept prepared, at a megabyte."""
_IDS_MAX = 500
_SUMS = {
    table: (f"INSERT INTO {table} ({', '.join((*(name for name, _ in keys), *MEASURES))}) VALUES ", add_up(table))
    for table, keys in SUM_KEYS.items()
}


class _SqliteTx:
    lock = ""
    has_lateral = False

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, *params: Any) -> int:
        return self._connection.execute(sql, params).rowcount

    def row(self, sql: str, *params: Any) -> Row | None:
        row: Row | None = self._connection.execute(sql, params).fetchone()
        return row

    def rows(self, sql: str, *params: Any) -> list[Row]:
        return self._connection.execute(sql, params).fetchall()

    def each(self, sql: str, *params: Any) -> Iterator[Row]:
        return iter(self._connection.execute(sql, params))

    def by_index(self) -> None:
        """SQLite does."""

    def run_many(self, sql: str, params: Sequence[Row]) -> None:
        self._connection.executemany(sql, params)

    def insert_records(self, rows: Sequence[Row]) -> set[str]:
        fresh = {row[0]: row for row in rows}
        ids = list(fresh)
        for start in range(0, len(ids), _IDS_MAX):
            part = ids[start : start + _IDS_MAX]
            for (known,) in self._connection.execute(
                f"SELECT gen_id FROM records WHERE gen_id IN ({placeholders(len(part))})", part
            ):
                del fresh[known]
        # Python lets go of the interpreter for each row of an executemany, and has to win it back from a busy event loop each
        # time: a fifth of a request's price where the collector is embedded.
        rows = list(fresh.values())
        for start in range(0, len(rows), _ROWS_MAX):
            some = rows[start : start + _ROWS_MAX]
            self._connection.execute(_INSERT + ", ".join([_ROW] * len(some)), list(chain.from_iterable(some)))
        return set(fresh)

    def add_sums(self, table: str, rows: Sequence[Row]) -> None:
        insert, add = _SUMS[table]
        rows_max = 999 // len(rows[0]) if rows else 1
        for start in range(0, len(rows), rows_max):
            some = rows[start : start + rows_max]
            row = f"({placeholders(len(some[0]))})"
            self._connection.execute(insert + ", ".join([row] * len(some)) + add, list(chain.from_iterable(some)))

    def freeze_records(self, before: str) -> None:
        """The one writer is us."""

    def drop_records(self, before: str) -> None:
        self._connection.execute("DELETE FROM records WHERE gen_id < ?", (before,))


class SqliteStore:
    """A collector's database in one SQLite file."""

    workers = 3

    def __init__(self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self._path = path
        self._writer, self._writing = writer, threading.Lock()
        self._reader, self._reading = reader, threading.Lock()

    def __repr__(self) -> str:
        return f"<SqliteStore {self._path}>"

    @classmethod
    def open(cls, path: Path, *, makes: bool = True) -> "SqliteStore":
        """Open or create the file, and bring its schema up to date; SchemaTooNew, StoreUnavailable, NoBooks unless `makes`."""
        try:
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
            _make_private(path)
            writer = _connect(path)
            try:
                _bring_up_to_date(writer, makes=makes)
                reader = _connect(path)
            except BaseException:
                writer.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"cannot open {path}: {error}") from error
        reader.execute("PRAGMA query_only = ON")
        return cls(path, writer, reader)

    def write(self, work: Callable[[Any], T]) -> T:
        with self._writing:
            return _transact(self._writer, "BEGIN IMMEDIATE", work)

    def read(self, work: Callable[[Any], T]) -> T:
        with self._reading:
            return _transact(self._reader, "BEGIN", work)

    def backup(self, target: Path, check: Callable[[Any], Sequence[str]] = lambda tx: ()) -> str:
        """SQLite's online backup: consistent while the server writes. The copy is one file, complete without a log; it is read
        from end to end, by SQLite and by `check`, before it is called a backup."""
        if target.exists():
            raise ValueError(f"{target} exists already; name a new file")
        try:
            _make_private(target)
            source, copy = _connect(self._path), sqlite3.connect(target)
            try:
                source.backup(copy)
            finally:
                copy.close()
                source.close()
            faults = _faults_of(target, check)
        except (OSError, sqlite3.Error, StoreUnavailable) as error:
            target.unlink(missing_ok=True)
            raise StoreUnavailable(f"cannot back up to {target}: {getattr(error, 'strerror', None) or error}") from error
        if faults:
            target.unlink()
            more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
            raise StoreDamaged(f"the copy is damaged as {self._path} is, so it is no backup and was removed: {faults[0]}{more}")
        return f"backed up {self._path} to {target}, and checked the copy"

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


def _faults_of(copy: Path, check: Callable[[Any], Sequence[str]]) -> list[str]:
    """What is wrong with a database file that nobody uses."""
    connection = sqlite3.connect(f"file:{quote(str(copy.absolute()))}?immutable=1", uri=True, isolation_level=None)
    try:
        pages = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
        return pages if pages != ["ok"] else list(_transact(connection, "BEGIN", check))
    finally:
        connection.close()


def _make_private(path: Path) -> None:
    """The file is its owner's alone, and so are the log and the index that SQLite makes beside it with the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        beside = path.with_name(name)
        if beside.exists() and beside.stat().st_uid == os.geteuid():
            beside.chmod(0o600)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=64)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _bring_up_to_date(connection: sqlite3.Connection, *, makes: bool) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        migrate("sqlite", found, connection.execute, makes=makes)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: sqlite3.Connection) -> None:
    """Undo what is open, if anything is: SQLite has undone it by itself when the disk is full. What went wrong before is told."""
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _transact(connection: sqlite3.Connection, begin: str, work: Callable[[Any], T]) -> T:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute(begin)
        try:
            outcome = work(_SqliteTx(connection))
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
    except sqlite3.IntegrityError:
        raise
    except (sqlite3.OperationalError, OSError) as error:
        raise StoreUnavailable(str(error)) from error
    except sqlite3.DatabaseError as error:
        raise StoreDamaged(f"{error}; restore the newest backup") from error
    except sqlite3.Error as error:
        raise StoreUnavailable(str(error)) from error
    return outcome
