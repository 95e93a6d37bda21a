"""`tollway limits`: what keys and accounts may use in a minute, and at once."""

import argparse
from typing import Any

import msgspec

from collector.accounts import accounts
from collector.accounts.accounts import Mistake
from collector.accounts.audit_log import record
from collector.accounts.key_lookup import find
from collector.accounts.keys import account_limits, change_key, limits_text, list_keys, set_account_limits
from collector.accounts.roles import Credential
from collector.cli.arguments import Wrong, add, family, models_of
from collector.cli.printing import operator, show
from collector.store.contract import Store, Tx
from usage.limit import LIMIT_MAX, NAMES, LimitTerms


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    actions = family(subparsers, "limits", "requests and tokens per minute, requests at once, an account's models")
    change = add(actions, "set", set_limits, "limit a key or an account anew; what is not named is not limited")
    whose = change.add_mutually_exclusive_group(required=True)
    whose.add_argument("--key", default="", metavar="ID", help="a key, by its id")
    whose.add_argument("--account", default="", help="all keys of an account together")
    change.add_argument("--models", type=models_of, default=(), help="of an account: ids or prefixes ending in '*', with commas")
    limit_arguments(change)
    add(actions, "show", show_limits, "the limits of an account and of its keys").add_argument("account", help="whose they are")


def limit_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be limited, as arguments."""
    for name, text in (
        ("requests-per-minute", "requests in any minute"),
        ("tokens-per-minute", "tokens, of prompts and answers, in any minute"),
        ("concurrent-requests", "requests at once"),
    ):
        parser.add_argument(f"--{name}", type=_count_of, default=None, metavar="N", help=text)
    parser.add_argument("--hard", action="store_true", help="refuse while the collector cannot say what other edges admit")
    parser.add_argument("--shadow", action="store_true", help="count what would be refused, and refuse nothing")
    parser.add_argument("--count", choices=("expected", "worst"), default="expected", help="what an answer is debited beforehand")


def _count_of(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= LIMIT_MAX:
        raise Wrong(f"{text!r} is no whole number from 1 to {LIMIT_MAX}")
    return int(text)


def terms_of(arguments: argparse.Namespace, models: tuple[str, ...] = ()) -> LimitTerms:
    """The limits that arguments name."""
    requests, tokens, concurrent = (getattr(arguments, name) for name in NAMES.values())
    return LimitTerms(requests, tokens, concurrent, arguments.hard, arguments.shadow, arguments.count, models)


def set_limits(arguments: argparse.Namespace, store: Store, now: int) -> int:
    if arguments.models and arguments.key:
        raise Mistake("a key's models are changed by `tollway keys update`; here they are an account's")
    terms = terms_of(arguments, arguments.models)

    def work(tx: Tx) -> list[dict[str, Any]]:
        if arguments.account:
            accounts.check_account(tx, arguments.account)
            set_account_limits(tx, arguments.account, terms)
            record(tx, operator(), "account.limits", arguments.account, {"rate_limits": limits_text(terms)}, now)
            return [_row("account", arguments.account, terms)]
        key = find(tx, arguments.key)
        if isinstance(key, Credential) or key.deleted:
            raise Mistake(f"{arguments.key!r} calls no model, so there is nothing to limit")
        change_key(tx, msgspec.structs.replace(key, limits=terms), now)
        record(tx, operator(), "key.update", arguments.key, {"rate_limits": limits_text(terms)}, now)
        return [_row("key", arguments.key, terms)]

    return show(store.write(work), arguments.json)


def show_limits(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> list[dict[str, Any]]:
        accounts.check_account(tx, arguments.account)
        rows = [_row("account", arguments.account, account_limits(tx, arguments.account))]
        return rows + [_row("key", key.key_id, key.limits) for key in list_keys(tx, arguments.account)]

    return show(store.read(work), arguments.json)


def _row(kind: str, name: str, terms: LimitTerms) -> dict[str, Any]:
    """A row as people and machines read it; no limit is an empty cell, or null."""
    limits = {each: terms.of(unit) for unit, each in NAMES.items()}
    flags = {"hard": terms.hard, "shadow": terms.shadow, "count": terms.count, "models": ",".join(terms.models)}
    return {"scope": kind, "name": name, **limits, **flags}
