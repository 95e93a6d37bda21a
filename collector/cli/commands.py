"""The account commands of `tollway`: keys, credits, usage, nodes, verify, audit, backup, collector.

Rule: they work on the store itself (TOLLWAY_DATABASE, or `$TOLLWAY_DATA/collector.db`), whether a server runs or not.
Rule: what goes wrong is one clear sentence on stderr and exit status 1; a secret is printed once, by the command that made it.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from collector.accounts.accounts import Mistake
from collector.accounts.window import RESETS, day_from_date
from collector.cli import actions, credential_actions
from collector.service import now_ms
from collector.store.contract import Store, StoreUnavailable, open_store
from collector.store.schema import SchemaTooNew
from usage.pricing import nano_from_dollars

Command = Callable[[argparse.Namespace, Store, int], int]


def commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the commands; each parser's `run` takes the parsed arguments and gives the exit status."""
    _register_keys(subparsers)
    _register_operators(subparsers)
    _register_credits(subparsers)
    _register_nodes(subparsers)
    usage = _add(subparsers, "usage", actions.show_usage, "what an account used, by UTC day, model and provider")
    usage.add_argument("account")
    usage.add_argument("--since", metavar="DATE", type=_day, default=0, help="first UTC day, such as 2026-01-31")
    usage.add_argument("--each", action="store_true", help="one row per generation instead of sums")
    usage.add_argument("--csv", action="store_true", help="comma-separated values")
    _json(usage)
    _json(_add(subparsers, "verify", actions.verify_books, "check every invariant of the books on the live store"))
    audit = _add(subparsers, "audit", actions.show_audit, "who created, revoked, credited or changed what, and from where")
    audit.add_argument("--since", metavar="DATE", type=_day, default=0, help="first UTC day, such as 2026-01-31")
    audit.add_argument("--subject", default="", help="only this key id, account or node")
    _json(audit)
    prune = _add(subparsers, "prune", actions.prune_records, "drop raw records of whole months; sums and postings stay")
    prune.add_argument("--keep-days", type=_keep_days, required=True, metavar="DAYS", help="keep at least so many days, from 1")
    login = _add(subparsers, "login", actions.log_in, "print a link that opens the dashboard once, within 15 minutes")
    whose = login.add_mutually_exclusive_group(required=True)
    whose.add_argument("account", nargs="?", default="", help="whose dashboard")
    whose.add_argument("--operator", action="store_true", help="the operator's pages, for all accounts")
    login.add_argument("--read", action="store_true", help="a session that may look, and change nothing")
    _json(login)
    backup = _add(subparsers, "backup", actions.back_up, "copy the live database to a file (SQLite), or say how (PostgreSQL)")
    backup.add_argument("file", type=Path)
    subparsers.add_parser("collector", help="run a collector on its own (PORT, 8100)").set_defaults(run=_collector)


def _register_keys(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    of_keys = subparsers.add_parser("keys", help="create, list and revoke keys").add_subparsers(required=True, metavar="ACTION")
    create = _add(of_keys, "create", actions.create_key, "make a key, and its account if it is new; the key is shown once")
    create.add_argument("--account", required=True)
    create.add_argument("--credit", type=_dollars, default=0, metavar="DOLLARS", help="top the account up as well")
    create.add_argument("--limit", type=_dollars, default=None, metavar="DOLLARS", help="the most this key may spend")
    create.add_argument("--limit-reset", choices=RESETS, default="none", help="when the limit starts anew (UTC)")
    create.add_argument("--models", default="", help="model ids or prefixes ending in '*', separated by commas; default all")
    create.add_argument("--name", default="")
    create.add_argument(
        "--role",
        choices=("inference", "read", "management"),
        default="inference",
        help="inference: calls models; read, management: reads, or manages, the account over the API and pays for nothing",
    )
    _json(create)
    listing = _add(of_keys, "list", actions.list_keys, "all keys, masked")
    listing.add_argument("--account", default="")
    _json(listing)
    revoke = _add(of_keys, "revoke", actions.revoke_key, "disable a key for good")
    revoke.add_argument("id")


def _register_operators(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    of_operators = subparsers.add_parser("operators", help="tokens that see and change every account").add_subparsers(
        required=True, metavar="ACTION"
    )
    create = _add(of_operators, "create", credential_actions.create_operator, "make an operator's token; it is shown once")
    create.add_argument("name", help="whose it is")
    _json(_add(of_operators, "list", credential_actions.list_operators, "all operators' tokens, masked"))
    _add(of_operators, "revoke", credential_actions.revoke_operator, "revoke a token for good").add_argument("id")


def _register_credits(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    of_credits = subparsers.add_parser("credits", help="add, take and show credit").add_subparsers(
        required=True, metavar="ACTION"
    )
    for name, command, text in (
        ("add", actions.add_credit, "top an account up"),
        ("take", actions.take_credit, "correct a top-up, as a new entry"),
    ):
        change = _add(of_credits, name, command, text)
        change.add_argument("account")
        change.add_argument("amount", type=_dollars, metavar="DOLLARS")
        change.add_argument(
            "--ref", default="", help="your reference, kept in the ledger; it is booked once, however often it is sent"
        )
    show = _add(of_credits, "show", actions.show_credits, "an account's balance")
    show.add_argument("account")
    _json(show)


def _register_nodes(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    of_nodes = subparsers.add_parser("nodes", help="edge nodes and their tokens").add_subparsers(required=True, metavar="ACTION")
    _json(_add(of_nodes, "list", actions.list_nodes, "all nodes"))
    for name, command, text in (
        ("create", actions.create_node, "make a token for a node; it is shown once"),
        ("revoke", actions.revoke_node, "revoke all tokens of a node"),
        ("accept-gap", actions.accept_gap, "give up facts a node will never send again, after a restore"),
    ):
        _add(of_nodes, name, command, text).add_argument("node")
    gone = _add(of_nodes, "forfeit", actions.forfeit_node, "a node's disk is gone for good: what its dead epochs leased returns")
    gone.add_argument("node")
    gone.add_argument("--living", action="store_true", help="also the epoch of a process that was heard of a minute ago")


def _add(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, command: Command, text: str
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(name, help=text, description=text)
    parser.set_defaults(run=lambda arguments: run(command, arguments))
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable")


def _dollars(text: str) -> int:
    try:
        return nano_from_dollars(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _day(text: str) -> int:
    try:
        return day_from_date(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date such as 2026-01-31") from error


def _keep_days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 36_500:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days from 1 to 36500")
    return int(text)


def run(command: Command, arguments: argparse.Namespace) -> int:
    """Open the store, run, close; every foreseeable trouble is one sentence."""
    try:
        store = open_store(os.environ)
    except (StoreUnavailable, SchemaTooNew, ValueError) as error:
        sys.stderr.write(f"tollway: {error}\n")
        return 1
    try:
        return command(arguments, store, now_ms())
    except (Mistake, StoreUnavailable, ValueError) as error:
        sys.stderr.write(f"tollway: {error}\n")
        return 1
    finally:
        store.close()


def _collector(arguments: argparse.Namespace) -> int:
    from collector.serve import serve

    return serve()
