"""`tollway keys`: make, list, show, change, replace and revoke keys of accounts, those that read or manage included.

Rule: a key is shown once, by the command that made it. It may be named by its id or, where somebody has only that, by the whole
key: that is never printed again.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import msgspec

from collector.accounts import accounts, history, roles
from collector.accounts import keys as account_keys
from collector.accounts.accounts import Mistake, nearest
from collector.accounts.audit_log import record
from collector.accounts.key_lookup import find
from collector.accounts.keys import Key, KeyTerms
from collector.accounts.roles import Credential
from collector.accounts.window import RESETS
from collector.api.shapes import timestamp
from collector.cli.arguments import add, dollars_of, expiry_of, family, limit_of, models_or_refusal, span_of
from collector.cli.execution import read_books
from collector.cli.printing import credit_in, json_text, note, operator, say, show, show_one, tell
from collector.cli.subcommands.limits import limit_arguments, terms_of
from collector.leasing.policy_report import policy_of_account, policy_of_key
from collector.store.contract import Store, Tx
from usage.pricing import dollars

UNCHANGED = object()
WHICH = "a key's id, as `tollway keys list` shows it, or the whole key"


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    actions = family(subparsers, "keys", "create, list, change, replace and revoke keys")
    text = "make a key, and its account if it is new; the key is shown once"
    create = add(actions, "create", create_key, text, makes_store=True)
    create.add_argument("--account", required=True, help="whose it is; made if it is new")
    create.add_argument("--credit", type=dollars_of, default=0, metavar="DOLLARS", help="top the account up as well")
    create.add_argument("--limit", type=dollars_of, default=None, metavar="DOLLARS", help="the most this key may spend")
    create.add_argument("--limit-reset", choices=RESETS, default="none", help="when the limit starts anew (UTC)")
    create.add_argument(
        "--models", type=models_or_refusal, default=(), help="model ids or prefixes ending in '*', with commas; default all"
    )
    create.add_argument("--expires", type=expiry_of, default=None, metavar="WHEN", help="30d, 12h, a UTC day or time, never")
    create.add_argument("--name", default="", help="what it is for")
    create.add_argument(
        "--role",
        choices=("inference", "read", "management"),
        default="inference",
        help="inference: calls models; read, management: reads, or manages, the account over the API and pays for nothing",
    )
    limit_arguments(create)
    listing = add(actions, "list", list_keys, "all keys, masked")
    listing.add_argument("--account", default="", help="of this account alone")
    add(actions, "show", show_key, "one key: its terms, and what it has spent").add_argument("id", help=WHICH)
    text = "what every edge is told of a key, or of an account's keys, and what can be spent with it"
    add(actions, "policy", show_policy, text).add_argument("id", help="a key's id, a whole key, or an account")
    update = add(actions, "update", update_key, "change what a key may do; nodes hear of it within two seconds")
    update.add_argument("id", help=WHICH)
    update.add_argument("--name", default=UNCHANGED, help="what it is for")
    update.add_argument("--limit", type=limit_of, default=UNCHANGED, metavar="DOLLARS", help="or none")
    update.add_argument("--limit-reset", choices=RESETS, default=UNCHANGED, help="when the limit starts anew (UTC)")
    update.add_argument("--models", type=models_or_refusal, default=UNCHANGED, help="as for create, or all")
    update.add_argument("--expires", type=expiry_of, default=UNCHANGED, metavar="WHEN", help="as for create, or never")
    state = update.add_mutually_exclusive_group()
    state.add_argument("--disable", action="store_true", help="refuse it until it is enabled again")
    state.add_argument("--enable", action="store_true", help="take a disabled or revoked key back")
    rotate = add(actions, "rotate", rotate_key, "make a key with the same terms, within the same limit, and end the old one")
    rotate.add_argument("id", help=WHICH)
    rotate.add_argument("--keep", type=span_of, default=0, metavar="SPAN", help="the old one lives so long yet: 24h; default 0")
    text = "refuse a key from now on; `update --enable` takes one back that calls models"
    add(actions, "revoke", revoke_key, text).add_argument("id", help=WHICH)


def create_key(arguments: argparse.Namespace, store: Store, now: int) -> int:
    make = _make_inference_key if arguments.role == "inference" else _make_credential

    def work(tx: Tx) -> tuple[str, dict[str, Any]]:
        is_new = accounts.create_account(tx, arguments.account, now)
        text, described = make(tx, arguments, now)
        if arguments.credit:
            accounts.add_credit(tx, arguments.account, arguments.credit, "with a new key", now)
        return text, {**described, "account_created": is_new}

    text, described = store.write(work)
    if described["account_created"]:
        _note_likeness(store, arguments.account)
    return _show_made(text, described, arguments.json)


def _make_inference_key(tx: Tx, arguments: argparse.Namespace, now: int) -> tuple[str, dict[str, Any]]:
    terms = KeyTerms(
        arguments.name, arguments.models, arguments.limit, arguments.limit_reset, arguments.expires, terms_of(arguments)
    )
    text, made = account_keys.create_key(tx, arguments.account, terms, now)
    _record(tx, "key.create", made, now, credit=credit_in(arguments.credit))
    return text, describe_key(made)


def _make_credential(tx: Tx, arguments: argparse.Namespace, now: int) -> tuple[str, dict[str, Any]]:
    if arguments.limit is not None or arguments.models or not terms_of(arguments).is_empty:
        raise Mistake(f"a {arguments.role} key pays for nothing, so it has no limits and no models")
    terms = roles.CredentialTerms(arguments.role, arguments.name, arguments.expires)
    text, made = roles.create_credential(tx, arguments.account, terms, now)
    detail = {"account": made.account, "role": made.role, "credit": credit_in(arguments.credit)}
    record(tx, operator(), "credential.create", made.credential_id, detail, now)
    return text, describe_credential(made)


def _note_likeness(store: Store, account: str) -> None:
    """A new account that is called nearly like another one may be a typing error: it is made, and said."""
    others = [row[0] for row in store.read(lambda tx: tx.rows("SELECT account FROM accounts")) if row[0] != account]
    if alike := nearest(account, others):
        note(f"the account {account!r} is new{alike}")


def _show_made(text: str, described: dict[str, Any], as_json: bool) -> int:
    if as_json:
        say(json_text({"key": text, **described}))
        return 0
    account = described["account"] + (" (new)" if described.get("account_created") else "")
    say(f"account: {account}", f"id: {described['id']}", f"key: {text}", "Keep the key: it is shown only now.")
    return 0


def describe_key(key: Key) -> dict[str, Any]:
    """A key as `--json` prints it; amounts are decimal dollars."""
    return {
        "id": key.key_id,
        "account": key.account,
        "label": key.label,
        "name": key.name,
        "models": ",".join(key.models),
        "limit": None if key.limit_nano is None else dollars(key.limit_nano),
        "limit_reset": key.limit_reset,
        "disabled": key.disabled,
        "created_at": timestamp(key.created_ms),
        "expires_at": None if key.expires_ms is None else timestamp(key.expires_ms),
        "role": "inference",
    }


def describe_credential(made: Credential) -> dict[str, Any]:
    """The same members of a key that reads or manages."""
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
        "expires_at": None if made.expires_ms is None else timestamp(made.expires_ms),
        "role": made.role,
    }


def list_keys(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> list[dict[str, Any]]:
        if arguments.account:
            accounts.check_account(tx, arguments.account)
        found = [describe_key(key) for key in account_keys.list_keys(tx, arguments.account)]
        others = roles.list_credentials(tx, arguments.account or None)
        return found + [describe_credential(one) for one in others if one.role != "operator"]

    return show(store.read(work), arguments.json)


def _key(tx: Tx, named: str, others: Sequence[str] = ()) -> Key:
    found = find(tx, named, others)
    if isinstance(found, Credential):
        raise Mistake(f"{found.label} is a {found.role} key: it can be revoked, and another one made, but not changed")
    return found


def show_key(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> dict[str, Any]:
        found = find(tx, arguments.id)
        if isinstance(found, Credential):
            return describe_credential(found)
        spent = {name: dollars(nano) for name, nano in history.key_usage(tx, found, now).items()}
        return describe_key(found) | spent

    return show_one(store.read(work), arguments.json)


def show_policy(arguments: argparse.Namespace, store: Store, now: int) -> int:
    figures = store.read(lambda tx: _policy(tx, arguments.id, now))
    if not arguments.json:
        for name, value in figures.items():
            if isinstance(value, list | tuple | dict):
                figures[name] = msgspec.json.encode(value).decode() if isinstance(value, dict) else ", ".join(value)
    return show_one(figures, arguments.json)


def _policy(tx: Tx, named: str, now_ms: int) -> dict[str, Any]:
    """Of a key's id, a whole key, or an account. Mistake."""
    names = [row[0] for row in tx.rows("SELECT account FROM accounts")]
    return policy_of_account(tx, named) or policy_of_key(tx, _key(tx, named, names), now_ms)


def policy_here(named: str) -> str:
    """`keys policy --json` of the books that the environment names, for another command. ValueError says why not."""
    told: dict[str, Any] = {}
    problem = read_books(lambda tx, now_ms: told.update(_policy(tx, named, now_ms)))
    if problem:
        raise ValueError(problem)
    return json_text(told)


def update_key(arguments: argparse.Namespace, store: Store, now: int) -> int:
    named = {
        "name": arguments.name,
        "models": arguments.models,
        "limit_nano": arguments.limit,
        "limit_reset": arguments.limit_reset,
        "expires_ms": arguments.expires,
        "disabled": arguments.disable if arguments.disable or arguments.enable else UNCHANGED,
    }
    changes = {field: value for field, value in named.items() if value is not UNCHANGED}
    if not changes:
        raise Mistake("nothing to change: name what, such as --limit 5.00 or --expires 30d")

    def work(tx: Tx) -> Key:
        key = _key(tx, arguments.id)
        if key.deleted:
            raise Mistake(f"{key.label} was deleted, which is for good: make a new key instead")
        changed = msgspec.structs.replace(key, **changes)
        account_keys.change_key(tx, changed, now)
        _record(tx, "key.update", changed, now, disabled=changed.disabled)
        return changed

    return show_one(describe_key(store.write(work)), arguments.json)


def rotate_key(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> tuple[str, Key, Key]:
        text, made, old = account_keys.rotate_key(tx, _key(tx, arguments.id), arguments.keep, now)
        _record(tx, "key.rotate", made, now, old=old.key_id)
        return text, made, old

    text, made, old = store.write(work)
    ends = timestamp(old.expires_ms) if arguments.keep and old.expires_ms is not None else None
    status = _show_made(text, {**describe_key(made), "replaces": old.key_id, "old_ends_at": ends}, arguments.json)
    if not arguments.json:
        say(f"The old one, {old.label}, " + (f"works until {ends}." if ends else "is refused from now on."))
    return status


def revoke_key(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> Key | Credential:
        found = find(tx, arguments.id)
        if isinstance(found, Credential):
            roles.revoke_credential(tx, found.credential_id)
            detail = {"account": found.account, "label": found.label}
            record(tx, operator(), "credential.revoke", found.credential_id, detail, now)
            return found
        account_keys.revoke_key(tx, found.key_id)
        record(tx, operator(), "key.revoke", found.key_id, {"account": found.account, "label": found.label}, now)
        return found

    found = store.write(work)
    key_id = found.credential_id if isinstance(found, Credential) else found.key_id
    said = f"revoked {found.label} of account {found.account}; every node hears of it within two seconds"
    return tell({"id": key_id, "account": found.account, "label": found.label}, arguments.json, said)


def _record(tx: Tx, action: str, key: Key, now: int, **more: Any) -> None:
    described = describe_key(key)
    detail = {name: described[name] for name in ("account", "name", "models", "limit", "limit_reset", "expires_at")}
    record(tx, operator(), action, key.key_id, detail | more, now)
