"""What the commands for keys that read and manage, and for operators' tokens, do; as `actions` does for the others."""

import argparse
import json
from typing import Any

from collector.accounts import accounts, roles
from collector.accounts.accounts import Mistake
from collector.accounts.audit_log import record
from collector.accounts.roles import Credential
from collector.api.shapes import timestamp
from collector.cli.printing import credit_in, operator, say, show
from collector.store.contract import Store, Tx


def create_credential(arguments: argparse.Namespace, store: Store, now: int) -> int:
    if arguments.limit is not None or arguments.models:
        raise Mistake(f"a {arguments.role} key pays for nothing, so it has no limit and no models")

    def work(tx: Tx) -> tuple[str, Credential]:
        text, made = roles.create_credential(tx, arguments.account, arguments.role, arguments.name, now)
        if arguments.credit:
            accounts.add_credit(tx, arguments.account, arguments.credit, "with a new key", now)
        detail = {"account": made.account, "role": made.role, "credit": credit_in(arguments.credit)}
        record(tx, operator(), "credential.create", made.credential_id, detail, now)
        return text, made

    text, made = store.write(work)
    if arguments.json:
        say(json.dumps({"key": text, **describe_credential(made)}, indent=2))
    else:
        say(f"account: {arguments.account}", f"id: {made.credential_id}", f"key: {text}", "Keep the key: it is shown only now.")
    return 0


def describe_credential(made: Credential) -> dict[str, Any]:
    return {
        "id": made.credential_id,
        "account": made.account,
        "label": made.label,
        "name": made.name,
        "models": "",
        "limit": None,
        "limit_reset": "none",
        "disabled": made.disabled,
        "created_at": timestamp(made.created_ms),
        "role": made.role,
    }


def create_operator(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> tuple[str, Credential]:
        text, made = roles.create_credential(tx, "", "operator", arguments.name, now)
        record(tx, operator(), "credential.create", made.credential_id, {"role": made.role, "name": made.name}, now)
        return text, made

    text, made = store.write(work)
    say(f"id: {made.credential_id}", f"token: {text}", "Keep the token: it is shown only now, and opens every account.")
    return 0


def list_operators(arguments: argparse.Namespace, store: Store, now: int) -> int:
    found = store.read(lambda tx: roles.list_credentials(tx, ""))
    shown = ("id", "label", "name", "disabled", "created_at")
    return show([{name: describe_credential(one)[name] for name in shown} for one in found], arguments.json)


def revoke_operator(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> Credential:
        found = roles.revoke_credential(tx, arguments.id, "")
        record(tx, operator(), "credential.revoke", found.credential_id, {"role": found.role}, now)
        return found

    say(f"revoked {store.write(work).label}")
    return 0
