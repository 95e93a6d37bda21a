"""The contract of a store: transactions, migrations, and the bulk insert. Both databases."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from collector.accounts import keys as account_keys
from collector.store import postgres, schema, sqlite
from collector.store.contract import Store, StoreUnavailable
from collector.store.opening import open_store
from collector.store.postgres import PostgresStore
from collector.store.schema import SchemaTooNew
from collector.store.sqlite import SqliteStore
from tests.collector.facts import id_of


def row_of(label: str) -> tuple[Any, ...]:
    return (id_of(label), "n", 1, 1, "a", "a", 0, 0, "{}")


def count(store: Store, table: str) -> int:
    (rows,) = store.read(lambda tx: tx.rows(f"SELECT COUNT(*) FROM {table}"))
    return int(rows[0])


def test_store_undoes_work_that_raises(store: Store) -> None:
    """All or nothing, and the store goes on."""

    def work(tx: Any) -> None:
        tx.run("INSERT INTO accounts (account, created_ms) VALUES (?, ?)", "a", 1)
        raise KeyError("stop")

    for _ in range(2):
        with pytest.raises(KeyError):
            store.write(work)
    assert count(store, "accounts") == 0


def test_store_refuses_what_the_checks_forbid(store: Store) -> None:
    """The last line: a balance below zero is refused by the database itself."""
    sql = "INSERT INTO accounts (account, available_nano, created_ms) VALUES (?, ?, ?)"
    with pytest.raises(Exception, match=r"(?i)check constraint"):
        store.write(lambda tx: tx.run(sql, "a", -1, 1))
    assert count(store, "accounts") == 0


def test_store_reads_do_not_write(store: Store) -> None:
    """A read that tries to write fails."""
    with pytest.raises(Exception, match=r"(?i)read-?only"):
        store.read(lambda tx: tx.run("DELETE FROM counters"))


def test_insert_records_gives_the_new_ids_only(store: Store) -> None:
    """Ten, then the same and ten more, then nothing."""

    def insert(ids: range) -> set[str]:
        return store.write(lambda tx: tx.insert_records([row_of(f"gen-{at:04d}") for at in ids]))

    try:
        assert len(insert(range(1_200))) == 1_200
        assert insert(range(1_190, 1_210)) == {id_of(f"gen-{at:04d}") for at in range(1_200, 1_210)}
        assert insert(range(0)) == set()
        assert count(store, "records") == 1_210
    finally:
        store.write(lambda tx: tx.run("DELETE FROM records"))


def test_store_streams_rows(store: Store) -> None:
    """More rows than one fetch."""
    store.write(lambda tx: tx.run_many("INSERT INTO ahead VALUES (?, ?, ?)", [("n", 1, seq) for seq in range(5_000)]))
    assert store.read(lambda tx: sum(1 for _ in tx.each("SELECT seq FROM ahead"))) == 5_000


def test_store_opened_again_keeps_what_was_written(tmp_path: Path, postgres_url: str) -> None:
    """Migrations run once."""
    for opening in (lambda: SqliteStore.open(tmp_path / "a.db"), lambda: PostgresStore.open(postgres_url)):
        first: Store = opening()
        first.write(lambda tx: tx.run("UPDATE counters SET value = 7"))
        first.close()
        second: Store = opening()
        assert second.read(lambda tx: tx.rows("SELECT DISTINCT value FROM counters")) == [(7,)]
        second.close()


def test_store_of_a_newer_release_is_refused(tmp_path: Path, postgres_url: str) -> None:
    """No guess about tables this code does not know; the sentence says both versions."""
    SqliteStore.open(tmp_path / "a.db").close()
    raw = sqlite3.connect(tmp_path / "a.db")
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(SchemaTooNew, match=f"version 99, this release knows up to {schema.VERSION}"):
        SqliteStore.open(tmp_path / "a.db")
    newer = PostgresStore.open(postgres_url)
    newer.write(lambda tx: tx.run("UPDATE schema_version SET version = 99"))
    newer.close()
    with pytest.raises(SchemaTooNew):
        PostgresStore.open(postgres_url)


def test_store_migrates_from_every_version(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later migration is applied to an old database, once, or not at all when it fails."""
    SqliteStore.open(tmp_path / "a.db").close()
    PostgresStore.open(postgres_url).close()
    broken = ("CREATE TABLE extra (a BIGINT)", "NONSENSE")
    released = schema.MIGRATIONS
    monkeypatch.setattr(schema, "MIGRATIONS", (*released, broken))
    for module in (schema, sqlite, postgres):
        monkeypatch.setattr(module, "VERSION", len(released) + 1)
    with pytest.raises(StoreUnavailable):
        SqliteStore.open(tmp_path / "a.db")
    with pytest.raises(Exception, match="syntax"):
        PostgresStore.open(postgres_url)
    monkeypatch.setattr(schema, "MIGRATIONS", (*released, broken[:1]))
    for opened in (SqliteStore.open(tmp_path / "a.db"), PostgresStore.open(postgres_url)):
        store: Store = opened
        assert count(store, "extra") == 0
        store.close()


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_keys_from_before_marks_stay_usable(
    database: str, tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store of version 1 with a key in it: after the migration edges are told that unmarked keys exist, until it is revoked."""

    def opened() -> Store:
        return SqliteStore.open(tmp_path / "a.db") if database == "sqlite" else PostgresStore.open(postgres_url)

    home = __import__(f"collector.store.{database}", fromlist=["VERSION"])
    with monkeypatch.context() as old:
        old.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        old.setattr(schema, "VERSION", 1)
        old.setattr(home, "VERSION", 1)
        old.setattr(postgres._PostgresTx, "make_months", lambda *_: None)
        store = opened()
        store.write(
            lambda tx: tx.run(
                "INSERT INTO keys (digest, key_id, account, label, name, models, limit_reset, disabled, created_ms, version)"
                " VALUES ('d', 'old123', 'acme', '', '', '', 'none', 0, 1, 0)"
            )
        )
        store.close()
    store = opened()
    assert store.read(account_keys.has_unmarked_keys)
    store.write(lambda tx: account_keys.create_key(tx, "acme", account_keys.KeyTerms(), 2))
    store.write(lambda tx: account_keys.revoke_key(tx, "old123"))
    assert not store.read(account_keys.has_unmarked_keys)
    store.close()


def test_store_that_cannot_be_opened_says_so_in_a_sentence(tmp_path: Path) -> None:
    """A file where a folder should be; no server; an address that is none."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot open"):
        open_store({"TOLLWAY_DATA": str(tmp_path / "file" / "data")})
    (tmp_path / "collector.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        open_store({"TOLLWAY_DATA": str(tmp_path)})
    with pytest.raises(StoreUnavailable):
        open_store({"TOLLWAY_DATABASE": f"postgresql:///x?host={tmp_path}"})
    with pytest.raises(ValueError, match="postgresql://"):
        open_store({"TOLLWAY_DATABASE": "mysql://x"})


def test_sqlite_path_loads_nothing_heavy() -> None:
    """The edge embeds this: no PostgreSQL driver, no HTTP client, no server."""
    names = "collector.service, collector.store.sqlite, collector.api.routes, collector.api.node, collector.cli.commands"
    code = f"import sys, {names}; print([m for m in ('psycopg', 'httpx', 'granian', 'h2', 'ssl') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['ssl']")
