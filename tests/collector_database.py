"""What the collector has written down, read straight from its database beside the running process.

Limits: SQLite only; read-only, so it never holds a lock that a writer waits for.
"""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from tests.processes import Process


@dataclass(frozen=True)
class Record:
    """One usage record as the collector keeps it."""

    gen_id: str
    account: str
    cost_nano: int
    facts: dict[str, Any]

    @property
    def request_id(self) -> str:
        return str(self.facts.get("request_id", ""))

    @property
    def end_reason(self) -> str:
        return str(self.facts["end_reason"])


def query(owner: Process, sql: str, *params: object) -> list[Any]:
    """Rows of the collector's database."""
    path = owner.folder / "data" / "collector.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
        return database.execute(sql, params).fetchall()


def records(owner: Process, account: str) -> list[Record]:
    """Every record of an account."""
    rows = query(owner, "SELECT gen_id, account, cost_nano, payload FROM records WHERE account = ?", account)
    return [Record(gen_id, name, cost_nano, json.loads(payload)) for gen_id, name, cost_nano, payload in rows]
