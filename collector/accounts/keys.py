"""Keys of accounts: what each may spend, how much, on what; made, changed, revoked.

Rule: a key is shown once and stored as its digest. Rule: every change of a key gets the next version, so that nodes can be told.
An account's limits are kept with each of its keys, because nodes are told of keys.
Rule: a key that replaces another one goes on within its limit: what all of them used and hold counts for each, so that
a limit cannot be spent again by replacing the key.
"""

import os
from collections.abc import Iterable

import msgspec

from collector.accounts.accounts import Mistake, create_account
from collector.accounts.window import RESETS
from collector.store.contract import Row, Tx
from usage.key import ENTROPY_BYTES, digest, masked, mint
from usage.limit import NO_LIMITS, LimitTerms, narrowed
from usage.protocol import Policy

DEPLOYMENT_BYTES = 32
_decode_limits = msgspec.json.Decoder(LimitTerms).decode


class Key(msgspec.Struct, frozen=True):
    """A caller's key as the store has it. `limit_nano` None: bounded by the account alone."""

    digest: str
    key_id: str
    account: str
    label: str
    name: str = ""
    models: tuple[str, ...] = ()
    limit_nano: int | None = None
    limit_reset: str = "none"
    disabled: bool = False
    expires_ms: int | None = None
    created_ms: int = 0
    updated_ms: int | None = None
    deleted: bool = False
    limits: LimitTerms = NO_LIMITS
    account_limits: LimitTerms = NO_LIMITS
    """Its account's, kept with each of its keys."""
    first_id: str = ""
    """The first of the keys that replaced one another, itself included; empty where none was replaced."""

    @property
    def shown_name(self) -> str:
        """Its name; without one, what may be shown of its text."""
        return self.name or self.label

    @property
    def purse(self) -> str:
        return self.account if self.limit_nano is None else f"{self.account}/{self.key_id}"

    def is_usable(self, now_ms: int) -> bool:
        return not self.disabled and not self.deleted and (self.expires_ms is None or now_ms < self.expires_ms)

    def policy(self) -> Policy:
        return Policy(
            self.digest,
            self.key_id,
            self.account,
            self.purse,
            self.disabled or self.deleted,
            narrowed(self.models, self.account_limits.models),
            self.expires_ms,
            self.shown_name,
            None if self.limits.is_empty else self.limits,
            None if self.account_limits.is_empty else self.account_limits,
        )


class KeyTerms(msgspec.Struct, frozen=True):
    """What a new key may do."""

    name: str = ""
    models: tuple[str, ...] = ()
    limit_nano: int | None = None
    limit_reset: str = "none"
    expires_ms: int | None = None
    limits: LimitTerms = NO_LIMITS


KEY_COLUMNS = (
    "digest, key_id, account, label, name, models, limit_nano, limit_reset, disabled, expires_ms, created_ms, updated_ms,"
    " deleted, rate_limits, account_limits, first_id"
)


def key_from(row: Row) -> Key:
    """A row of KEY_COLUMNS."""
    key_digest, key_id, account, label, name, models, limit_nano, limit_reset, disabled, expires_ms, created_ms, *later = row
    listed = tuple(models.split(",")) if models else ()
    known = (key_digest, key_id, account, label, name, listed, limit_nano, limit_reset, bool(disabled), expires_ms, created_ms)
    return Key(*known, later[0], bool(later[1]), limits_from(later[2]), limits_from(later[3]), later[4])


def limits_from(text: str) -> LimitTerms:
    """Limits as they are stored; empty: none."""
    return _decode_limits(text) if text else NO_LIMITS


def limits_text(terms: LimitTerms) -> str:
    """Limits as they are stored: JSON, empty for none."""
    return "" if terms == NO_LIMITS else msgspec.json.encode(terms).decode()


def find_key(tx: Tx, key_digest: str) -> Key | None:
    """A key by the digest of its text, deleted ones included."""
    row = tx.row(f"SELECT {KEY_COLUMNS} FROM keys WHERE digest = ?", key_digest)
    return key_from(row) if row else None


def find_key_by_id(tx: Tx, key_id: str) -> Key | None:
    """A key by its id, deleted ones included."""
    row = tx.row(f"SELECT {KEY_COLUMNS} FROM keys WHERE key_id = ?", key_id)
    return key_from(row) if row else None


def list_keys(tx: Tx, account: str = "") -> list[Key]:
    """All keys that were not deleted, or those of one account, oldest first."""
    where, params = (" WHERE deleted = 0 AND account = ?", (account,)) if account else (" WHERE deleted = 0", ())
    return [key_from(row) for row in tx.rows(f"SELECT {KEY_COLUMNS} FROM keys{where} ORDER BY created_ms, key_id", *params)]


def names_of(keys: Iterable[Key]) -> dict[str, str]:
    """How keys are shown, by their ids."""
    return {key.key_id: key.shown_name for key in keys}


def check_terms(terms: KeyTerms) -> None:
    """Mistake for terms that no key can have."""
    if terms.limit_reset not in RESETS:
        raise Mistake(f"limit reset is one of {', '.join(RESETS)}, not {terms.limit_reset!r}")
    if any(not model or "," in model for model in terms.models):
        raise Mistake("each of the models is a model id, or a prefix ending in '*'")
    check_limits(terms.limits)


def check_limits(terms: LimitTerms) -> None:
    """Mistake for limits that cannot be meant."""
    if problem := terms.problem():
        raise Mistake(problem)


def create_key(tx: Tx, account: str, terms: KeyTerms, now_ms: int, entropy: bytes = b"", first_id: str = "") -> tuple[str, Key]:
    """A key for an account that exists or is made now: (what is shown once, what is kept). Mistake: no key has such terms.

    `entropy` makes it a certain one; `first_id` as in `Key`.
    """
    check_terms(terms)
    create_account(tx, account, now_ms)
    deployment = bytes.fromhex(deployment_secret(tx))
    while True:
        text, key_id = mint(entropy or os.urandom(ENTROPY_BYTES), deployment)
        entropy = b""
        key_digest = digest(text.encode())
        made = tx.run(
            f"INSERT INTO keys ({KEY_COLUMNS}, version, marked)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, NULL, 0, ?, ?, ?, 0, 1) ON CONFLICT DO NOTHING",
            key_digest,
            key_id,
            account,
            masked(text),
            terms.name,
            ",".join(terms.models),
            terms.limit_nano,
            terms.limit_reset,
            terms.expires_ms,
            now_ms,
            limits_text(terms.limits),
            limits_text(account_limits(tx, account)),
            first_id,
        )
        if made and (key := find_key(tx, key_digest)) is not None:
            return text, key


def rotate_key(tx: Tx, old: Key, keep_ms: int, now_ms: int) -> tuple[str, Key, Key]:
    """A key with the terms of another one, which lives for `keep_ms` yet, or is revoked: (what is shown once, the new key,
    the old one). Both are within one limit. Mistake: the old one cannot be used any more."""
    if not old.is_usable(now_ms):
        raise Mistake(f"{old.label} is revoked or has expired: make a new key instead")
    tx.run("UPDATE keys SET first_id = key_id WHERE key_id = ? AND first_id = ''", old.key_id)
    terms = KeyTerms(old.name, old.models, old.limit_nano, old.limit_reset, old.expires_ms, old.limits)
    text, made = create_key(tx, old.account, terms, now_ms, first_id=old.first_id or old.key_id)
    if not keep_ms:
        return text, made, revoke_key(tx, old.key_id)
    ends_ms = now_ms + keep_ms
    old = msgspec.structs.replace(old, expires_ms=min(ends_ms, old.expires_ms or ends_ms), first_id=made.first_id)
    change_key(tx, old, now_ms)
    return text, made, old


def within_one_limit(tx: Tx, key_id: str) -> list[str]:
    """The ids of the keys that share a key's limit: itself, those that it replaced and those that replaced it.

    Asked of the store and not of a `Key`, which may have been read before its account was locked.
    """
    rows = tx.rows(
        "SELECT key_id FROM keys WHERE first_id <> '' AND first_id = (SELECT first_id FROM keys WHERE key_id = ?)", key_id
    )
    return [row[0] for row in rows] or [key_id]


def deployment_secret(tx: Tx) -> str:
    """What marks this deployment's keys, in hexadecimal; made when it is first asked for, and kept with the keys."""
    tx.run(
        "INSERT INTO deployment (name, value) VALUES ('key_secret', ?) ON CONFLICT (name) DO NOTHING",
        os.urandom(DEPLOYMENT_BYTES).hex(),
    )
    secret = known_deployment_secret(tx)
    assert secret
    return secret


def known_deployment_secret(tx: Tx) -> str:
    """The same, and empty as long as it was never asked for: then nothing was marked yet."""
    row = tx.row("SELECT value FROM deployment WHERE name = 'key_secret'")
    return "" if row is None else str(row[0])


def has_unmarked_keys(tx: Tx) -> bool:
    """Whether a key from before there were marks can still be used."""
    return tx.row("SELECT key_id FROM keys WHERE marked = 0 AND disabled = 0 LIMIT 1") is not None


def revoke_key(tx: Tx, key_id: str) -> Key:
    """Disable a key: it is refused until `change_key` enables it again; nodes hear of it with their next acknowledgement.

    Revoking twice is once. What ends a key for good is to delete it. Mistake: there is no such key.
    """
    row = tx.row(f"SELECT {KEY_COLUMNS} FROM keys WHERE key_id = ?" + tx.lock, key_id)
    if row is None:
        raise Mistake(f"there is no key with the id {key_id!r}; `tollway keys list` shows them")
    if not key_from(row).disabled:
        tx.run("UPDATE keys SET disabled = 1, version = ? WHERE key_id = ?", _next_version(tx), key_id)
    return msgspec.structs.replace(key_from(row), disabled=True)


def change_key(tx: Tx, key: Key, now_ms: int) -> None:
    """Keep what may change of a key: name, models, limits and the reset, expiry, whether it is disabled or deleted.

    Nodes ask anew for its policy.
    """
    check_terms(KeyTerms(key.name, key.models, key.limit_nano, key.limit_reset, key.expires_ms, key.limits))
    tx.run(
        "UPDATE keys SET name = ?, models = ?, limit_nano = ?, limit_reset = ?, expires_ms = ?, disabled = ?, deleted = ?,"
        " rate_limits = ?, updated_ms = ?, version = ? WHERE key_id = ?",
        *(key.name, ",".join(key.models), key.limit_nano, key.limit_reset, key.expires_ms, int(key.disabled), int(key.deleted)),
        *(limits_text(key.limits), now_ms, _next_version(tx), key.key_id),
    )


def account_limits(tx: Tx, account: str) -> LimitTerms:
    """What all keys of an account may use together."""
    row = tx.row("SELECT rate_limits FROM accounts WHERE account = ?", account)
    return limits_from(row[0]) if row else NO_LIMITS


def set_account_limits(tx: Tx, account: str, terms: LimitTerms) -> None:
    """Limit an account; nodes ask anew for the policies of its keys. Mistake: there is no such account."""
    check_limits(terms)
    text = limits_text(terms)
    if not tx.run("UPDATE accounts SET rate_limits = ? WHERE account = ?", text, account):
        raise Mistake(f"there is no account {account!r}")
    for (key_id,) in tx.rows("SELECT key_id FROM keys WHERE account = ? AND deleted = 0 ORDER BY key_id", account):
        tx.run("UPDATE keys SET account_limits = ?, version = ? WHERE key_id = ?", text, _next_version(tx), key_id)


def _next_version(tx: Tx) -> int:
    tx.run("UPDATE counters SET value = value + 1 WHERE name = 'key_version'")
    return key_version(tx)


def key_version(tx: Tx) -> int:
    """The version of the last change of any key."""
    row = tx.row("SELECT value FROM counters WHERE name = 'key_version'")
    assert row is not None
    version: int = row[0]
    return version
