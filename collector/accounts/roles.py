"""Keys that read and manage an account, and the operator's tokens: who holds one may do what, and which never pays for a model.

Rule: an inference key (`sk_live_`) sees itself and its own generations. `sk_read_` sees its account, `sk_mgmt_` changes it too,
and the operator's `op_` sees and changes every account. Rule: each is shown once and stored as its digest; a prefix of its own
tells them apart before anything is looked up, and none of them is ever a key of `accounts`.
"""

import os
from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from collector.accounts.accounts import Mistake, create_account
from collector.accounts.keys import deployment_secret
from collector.store.contract import Row, Tx
from usage.key import ENTROPY_BYTES, digest, is_checked, mint

Role = Literal["read", "management", "operator"]
PREFIXES: dict[str, Role] = {"sk_read_": "read", "sk_mgmt_": "management", "op_": "operator"}
_COLUMNS = "digest, credential_id, account, role, label, name, disabled, expires_ms, created_ms"


class Credential(msgspec.Struct, frozen=True):
    """One of them. `account` is "" for the operator, whose are all."""

    digest: str
    credential_id: str
    account: str
    role: Role
    label: str
    name: str = ""
    disabled: bool = False
    expires_ms: int | None = None
    created_ms: int = 0

    def is_usable(self, now_ms: int) -> bool:
        return not self.disabled and (self.expires_ms is None or now_ms < self.expires_ms)


def shows_credit(environ: Mapping[str, str]) -> bool:
    """Whether an inference key is told what its account has left; ValueError for a setting that is neither yes nor no."""
    text = environ.get("TOLLWAY_INFERENCE_CREDITS") or "yes"
    if text.lower() not in ("yes", "no", "true", "false", "1", "0"):
        raise ValueError(f"TOLLWAY_INFERENCE_CREDITS is {text[:40]!r}; it is yes or no")
    return text.lower() in ("yes", "true", "1")


def _from(row: Row) -> Credential:
    key_digest, credential_id, account, role, label, name, disabled, expires_ms, created_ms = row
    return Credential(key_digest, credential_id, account, role, label, name, bool(disabled), expires_ms, created_ms)


def role_of(text: str) -> Role | None:
    """What a credential would be by its prefix, if its shape and checksum are right; no look-up."""
    for prefix, role in PREFIXES.items():
        if text.startswith(prefix) and text.isascii() and is_checked(text.encode(), prefix.encode()):
            return role
    return None


class CredentialTerms(msgspec.Struct, frozen=True):
    """What a new credential may do, what it is for, and when it ends; None: never."""

    role: Role
    name: str = ""
    expires_ms: int | None = None


def create_credential(tx: Tx, account: str, terms: CredentialTerms, now_ms: int, entropy: bytes = b"") -> tuple[str, Credential]:
    """(what is shown once, what is kept). An account that does not exist is made. Mistake.

    `entropy` makes it a certain one.
    """
    role, name, expires_ms = terms.role, terms.name, terms.expires_ms
    if role not in get_args(Role):
        raise Mistake(f"a role is one of {', '.join(get_args(Role))}, not {role!r}")
    if (role == "operator") == bool(account):
        raise Mistake("the operator's token is for no account, any other is for one")
    if account:
        create_account(tx, account, now_ms)
    prefix = next(prefix for prefix, named in PREFIXES.items() if named == role)
    deployment = bytes.fromhex(deployment_secret(tx))
    while True:
        text, credential_id = mint(entropy or os.urandom(ENTROPY_BYTES), deployment, prefix)
        entropy = b""
        label = f"{text[: len(prefix) + 7]}...{text[-3:]}"
        made = Credential(digest(text.encode()), credential_id, account, role, label, name, False, expires_ms, now_ms)
        if tx.run(
            f"INSERT INTO credentials ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?) ON CONFLICT DO NOTHING",
            *(made.digest, credential_id, account, role, label, name, expires_ms, now_ms),
        ):
            return text, made


def find_credential(tx: Tx, text: str, now_ms: int) -> Credential | None:
    """The credential that this text is, if it may be used; an inference key is none."""
    if role_of(text) is None:
        return None
    row = tx.row(f"SELECT {_COLUMNS} FROM credentials WHERE digest = ?", digest(text.encode()))
    found = None if row is None else _from(row)
    return found if found is not None and found.is_usable(now_ms) else None


def list_credentials(tx: Tx, account: str | None = None) -> list[Credential]:
    """Those of one account, or all, oldest first."""
    where, params = ("", ()) if account is None else (" WHERE account = ?", (account,))
    return [
        _from(row) for row in tx.rows(f"SELECT {_COLUMNS} FROM credentials{where} ORDER BY created_ms, credential_id", *params)
    ]


def revoke_credential(tx: Tx, credential_id: str, account: str | None = None) -> Credential:
    """Disable it for good; of one account only, if that is named. Mistake when there is none."""
    row = tx.row(f"SELECT {_COLUMNS} FROM credentials WHERE credential_id = ?" + tx.lock, credential_id)
    if row is None or (account is not None and row[2] != account):
        raise Mistake(f"there is no read or management key with the id {credential_id!r}")
    tx.run("UPDATE credentials SET disabled = 1 WHERE credential_id = ?", credential_id)
    return msgspec.structs.replace(_from(row), disabled=True)
