"""`/credentials`: an account's keys that read or manage it, and pay for nothing.

Rule: the text of one is shown once; every change is in the audit log.
"""

from typing import Annotated, Any, Literal

import msgspec

from collector.accounts import roles
from collector.accounts.accounts import Mistake
from collector.accounts.audit_log import record
from collector.accounts.keys import deployment_secret
from collector.api.caller import MANAGERS
from collector.api.operation import AccountQuery, Call, Deleted, Operation, check_account
from collector.api.problem import ApiError, missing
from collector.api.shapes import expiry_of, timestamp
from collector.store.contract import Tx
from usage.key import mint


class CredentialRow(msgspec.Struct, frozen=True):
    """A key that reads or manages an account. It pays for nothing."""

    id: str
    account: str
    role: str
    label: str
    name: str
    disabled: bool
    created_at: str
    expires_at: str | None


class CredentialsAnswer(msgspec.Struct, frozen=True):
    data: list[CredentialRow]


class NewCredential(msgspec.Struct, frozen=True):
    """`key` is shown here and never again."""

    data: CredentialRow
    key: str


class CreateCredential(msgspec.Struct, frozen=True):
    role: Literal["read", "management"]
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    expires_at: str | None = None


def describe_credential(found: roles.Credential) -> CredentialRow:
    return CredentialRow(
        found.credential_id, found.account, found.role, found.label, found.name, found.disabled, timestamp(found.created_ms),
        None if found.expires_ms is None else timestamp(found.expires_ms),
    )  # fmt: skip


def read_credentials(tx: Tx, call: Call) -> CredentialsAnswer:
    return CredentialsAnswer([describe_credential(found) for found in roles.list_credentials(tx, call.account)])


def create_credential(tx: Tx, call: Call) -> NewCredential:
    body: CreateCredential = call.body
    check_account(tx, call.account)
    expires_ms = expiry_of(body.expires_at, call.now_ms)
    terms = roles.CredentialTerms(body.role, body.name, expires_ms)
    text, made = roles.create_credential(tx, call.account, terms, call.now_ms, call.entropy)
    record(
        tx, call.caller.actor, "credential.create", made.credential_id, {"account": made.account, "role": made.role}, call.now_ms
    )
    return NewCredential(describe_credential(made), text)


def remake_credential(tx: Tx, entropy: bytes, kept: Any) -> str:
    prefix = next(prefix for prefix, role in roles.PREFIXES.items() if role == kept["data"]["role"])
    text, credential_id = mint(entropy, bytes.fromhex(deployment_secret(tx)), prefix)
    if credential_id != kept["data"]["id"]:
        raise ApiError(409, "the key was made, but cannot be shown again; revoke it and make another", "idempotency_conflict")
    return text


def revoke_credential(tx: Tx, call: Call) -> Deleted:
    try:
        found = roles.revoke_credential(tx, call.path["id"].replace("\0", "?"), call.caller.account or None)
    except Mistake:
        raise missing("key", "id") from None
    record(tx, call.caller.actor, "credential.revoke", found.credential_id, {"account": found.account}, call.now_ms)
    return Deleted(True)


OPERATIONS = (
    Operation(
        "GET", "/credentials", "Keys that read and manage the account", MANAGERS, read_credentials, CredentialsAnswer,
        AccountQuery,
    ),
    Operation(
        "POST", "/credentials", "Make a key that reads or manages", MANAGERS, create_credential, NewCredential, AccountQuery,
        CreateCredential, 201, has_effect=True, errors=(404,), secret=remake_credential,
    ),
    Operation(
        "DELETE", "/credentials/{id}", "Revoke such a key", MANAGERS, revoke_credential, Deleted, AccountQuery, has_effect=True,
        errors=(404,),
    ),
)  # fmt: skip
