"""Sessions of the dashboard, and the one-time links that open them.

Rule: what a browser holds is 155 random bits with the deployment's mark; the store has its SHA-256 only. Rule: a session can be
revoked at any time and ends by itself, after a day without use or a week at most. Rule: a link opens one session, once, within
its life.
Limits: a session has one role: `read` and `management` for one account, `operator` for all of them.
"""

import hashlib

import msgspec

from collector.accounts.accounts import Mistake
from collector.accounts.marks import LINK, SESSION, make_secret
from collector.accounts.roles import Role
from collector.store.contract import Row, Tx

LIFE_MS = 7 * 86_400_000
IDLE_MS = 86_400_000
LINK_MS = 15 * 60_000
SEEN_MS = 60_000
"""A session's last use is written down once a minute at most."""
TEXT_CHARS_MAX = 120
_COLUMNS = "digest, account, role, opened_by, address, user_agent, created_ms, seen_ms, expires_ms"


class Session(msgspec.Struct, frozen=True):
    """`account` is empty for an operator. `digest` is the session's public identity; `opened_by` says with what it was opened."""

    digest: str
    account: str
    role: Role
    opened_by: str
    address: str
    user_agent: str
    created_ms: int
    seen_ms: int
    expires_ms: int

    @property
    def is_operator(self) -> bool:
        return self.role == "operator"

    @property
    def may_change(self) -> bool:
        """Whether it may make, change and revoke things."""
        return self.role != "read"


def digest_of(secret: str) -> str:
    """What the store keeps of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Visitor(msgspec.Struct, frozen=True):
    """Who signs in: for which account (empty for an operator), in which role, with what, and from where."""

    account: str
    role: Role
    opened_by: str
    address: str
    user_agent: str


def open_session(tx: Tx, visitor: Visitor, now_ms: int) -> tuple[str, Session]:
    """(the secret for the cookie, the session)."""
    secret = make_secret(tx, SESSION)
    session = Session(
        digest_of(secret),
        visitor.account,
        visitor.role,
        visitor.opened_by,
        visitor.address[:TEXT_CHARS_MAX],
        visitor.user_agent[:TEXT_CHARS_MAX],
        now_ms,
        now_ms,
        now_ms + LIFE_MS,
    )
    tx.run("DELETE FROM sessions WHERE expires_ms <= ? OR seen_ms <= ?", now_ms, now_ms - IDLE_MS)
    tx.run(f"INSERT INTO sessions ({_COLUMNS}, marked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)", *msgspec.structs.astuple(session))
    return secret, session


def find_session(tx: Tx, secret: str, now_ms: int) -> Session | None:
    """The session that a cookie opens, if it still does."""
    row = tx.row(
        f"SELECT {_COLUMNS} FROM sessions WHERE digest = ? AND expires_ms > ? AND seen_ms > ?",
        digest_of(secret),
        now_ms,
        now_ms - IDLE_MS,
    )
    return _session(row) if row else None


def touch_session(tx: Tx, session: Session, now_ms: int) -> None:
    """It was used now."""
    tx.run("UPDATE sessions SET seen_ms = ? WHERE digest = ? AND seen_ms < ?", now_ms, session.digest, now_ms)


def list_sessions(tx: Tx, account: str, role: Role, now_ms: int) -> list[Session]:
    """The living sessions beside this one: an account's, or the operators'; the last used first."""
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM sessions WHERE account = ? AND (role = 'operator') = ? AND expires_ms > ? AND seen_ms > ?"
        " ORDER BY seen_ms DESC, digest",
        account,
        role == "operator",
        now_ms,
        now_ms - IDLE_MS,
    )
    return [_session(row) for row in rows]


def close_session(tx: Tx, digest: str, account: str) -> bool:
    """End a session of this account (empty: an operator's); whether there was one."""
    return tx.run("DELETE FROM sessions WHERE digest = ? AND account = ?", digest, account) == 1


def close_others(tx: Tx, session: Session) -> int:
    """End every other session of the same account, or of the operators; how many there were."""
    return tx.run("DELETE FROM sessions WHERE account = ? AND digest <> ?", session.account, session.digest)


def make_link(tx: Tx, account: str, role: Role, now_ms: int, life_ms: int = LINK_MS) -> str:
    """The secret of a link that opens one session; Mistake for an account that does not exist."""
    if role != "operator" and tx.row("SELECT account FROM accounts WHERE account = ?", account) is None:
        raise Mistake(f"there is no account {account!r}")
    secret = make_secret(tx, LINK)
    tx.run("DELETE FROM login_links WHERE expires_ms <= ?", now_ms)
    tx.run(
        "INSERT INTO login_links (digest, account, role, expires_ms, marked) VALUES (?, ?, ?, ?, 1)",
        digest_of(secret),
        "" if role == "operator" else account,
        role,
        now_ms + life_ms,
    )
    return secret


def use_link(tx: Tx, secret: str, now_ms: int) -> tuple[str, Role] | None:
    """(account, role) of a link, which is used up by this; None when it is not valid any more."""
    row = tx.row("SELECT account, role FROM login_links WHERE digest = ? AND expires_ms > ?", digest_of(secret), now_ms)
    if row is None or tx.run("DELETE FROM login_links WHERE digest = ?", digest_of(secret)) != 1:
        return None
    return row[0], row[1]


def _session(row: Row) -> Session:
    return Session(*row)
