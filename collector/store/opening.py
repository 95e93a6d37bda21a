"""Which store the environment names, and how it is opened: TOLLWAY_DATABASE, else SQLite in TOLLWAY_DATA.

Strategy: a backend is imported when it is opened, so that SQLite needs no driver of PostgreSQL.
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from collector.store.contract import NoBooks, Store, StoreUnavailable


def name_of_store(environ: Mapping[str, str]) -> str:
    """What the store that the environment names is called in messages; never with a password in it."""
    url = environ.get("TOLLWAY_DATABASE", "")
    if not url:
        return f"SQLite {_sqlite_path(environ).absolute()}"
    parts = urlsplit(url)
    return f"PostgreSQL {parts.hostname or 'here'}{parts.path}"


def _sqlite_path(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("TOLLWAY_DATA") or "./data") / "collector.db"


def open_store(environ: Mapping[str, str], *, makes: bool = True) -> Store:
    """The store that the environment names: TOLLWAY_DATABASE (`postgresql://…`), else `$TOLLWAY_DATA/collector.db`. One that is
    not there yet is made, or NoBooks."""
    url = environ.get("TOLLWAY_DATABASE", "")
    if url.startswith(("postgresql://", "postgres://")):
        from collector.store.postgres import PostgresStore

        try:
            return PostgresStore.open(url, makes=makes)
        except StoreUnavailable as error:
            raise StoreUnavailable(f"TOLLWAY_DATABASE cannot be used: {error}") from error
    if url:
        raise ValueError("TOLLWAY_DATABASE must be a postgresql:// address; leave it unset for SQLite in TOLLWAY_DATA")
    from collector.store.sqlite import SqliteStore

    path = _sqlite_path(environ)
    if not makes and not path.exists():
        raise NoBooks
    return SqliteStore.open(path, makes=makes)
