"""The audit log: who created, revoked, credited or changed what, when and from where.

Rule: an entry is written in the transaction of the change it tells of, so that neither is there without the other. Rule: entries
are only ever added; the database itself refuses to change or delete one (`schema`).
Limits: texts are cut at TEXT_CHARS_MAX. Keys and tokens never stand here, only their ids and masked labels.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from collector.store.contract import Tx

TEXT_CHARS_MAX = 500
LISTED_MAX = 100_000


class Actor(msgspec.Struct, frozen=True):
    """Who did it, and from where: an operator's login and machine, or a management key's id and the client's address."""

    name: str
    origin: str = ""


class AuditEntry(msgspec.Struct, frozen=True):
    """One line of the log. `detail` is a JSON object."""

    entry_id: int
    at_ms: int
    actor: str
    origin: str
    action: str
    subject: str
    detail: str


def record(tx: Tx, actor: Actor, action: str, subject: str, detail: Mapping[str, Any], now_ms: int) -> None:
    """Add an entry: `action` is `<noun>.<verb>` such as `key.revoke`, `subject` what it was done to, `detail` the new values."""
    values = {name: _cut(value) if isinstance(value, str) else value for name, value in detail.items() if value not in (None, "")}
    tx.run(
        "INSERT INTO audit_log (at_ms, actor, origin, action, subject, detail) VALUES (?, ?, ?, ?, ?, ?)",
        now_ms,
        _cut(actor.name),
        _cut(actor.origin),
        action,
        _cut(subject),
        msgspec.json.encode(values).decode(),
    )


def entries(tx: Tx, since_ms: int = 0, subject: str = "", count_max: int = LISTED_MAX) -> list[AuditEntry]:
    """The newest `count_max` entries from `since_ms` (Unix time) on, oldest first; of one subject if it is named."""
    where, params = (" AND subject = ?", (subject,)) if subject else ("", ())
    rows = tx.rows(
        "SELECT entry_id, at_ms, actor, origin, action, subject, detail FROM audit_log"
        f" WHERE at_ms >= ?{where} ORDER BY entry_id DESC LIMIT ?",
        since_ms,
        *params,
        count_max,
    )
    return [AuditEntry(*row) for row in reversed(rows)]


def _cut(text: str) -> str:
    """Bounded, and without what PostgreSQL or a terminal would choke on."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:TEXT_CHARS_MAX])
