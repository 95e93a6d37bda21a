"""`tollway credits`: add, take, show and list an account's credit.

Rule: an account that is not there is a typing error until somebody says otherwise: it is refused with the nearest names, and
`--create` makes it. Rule: a reference is booked once, however often it is sent, by `add` as by `take`.
"""

import argparse

from collector.accounts import accounts, history, payments
from collector.accounts.audit_log import record
from collector.api.shapes import timestamp
from collector.cli.arguments import add, dollars_of, family
from collector.cli.printing import operator, say, show, show_one
from collector.store.contract import Store, Tx
from usage.pricing import dollars


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    actions = family(subparsers, "credits", "add, take, show and list credit")
    for name, command, text in (
        ("add", add_credit, "top an account up"),
        ("take", take_credit, "correct a top-up, as a new entry"),
    ):
        change = add(actions, name, command, text)
        change.add_argument("account", help="whose credit")
        change.add_argument("amount", type=dollars_of, metavar="DOLLARS", help="such as 10.00")
        change.add_argument(
            "--ref", default="", help="your reference, kept in the ledger; it is booked once, however often it is sent"
        )
        if name == "add":
            change.add_argument("--create", action="store_true", help="make the account if it is new")
    add(actions, "show", show_credits, "an account's balance").add_argument("account", help="whose credit")
    add(actions, "list", list_credits, "all accounts and their balances")
    listing = add(actions, "history", show_history, "an account's top-ups and corrections, newest first")
    listing.add_argument("account", help="whose credit")


def add_credit(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> bool:
        if arguments.create:
            accounts.create_account(tx, arguments.account, now)
        else:
            accounts.check_name(arguments.account)
            accounts.check_account(tx, arguments.account, "; --create makes it")
        if arguments.ref:
            is_new = payments.pay(tx, arguments.account, arguments.amount, arguments.ref, "operator", now)
        else:
            accounts.add_credit(tx, arguments.account, arguments.amount, "", now)
            is_new = True
        return is_new and _record(tx, "credit.add", arguments, now)

    return _say_balance(arguments, store, is_new=store.write(work), verb="added")


def take_credit(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> bool:
        accounts.check_account(tx, arguments.account)
        if arguments.ref:
            is_new = payments.correct(tx, arguments.account, arguments.amount, arguments.ref, "operator", now)
        else:
            accounts.take_credit(tx, arguments.account, arguments.amount, "", now)
            is_new = True
        return is_new and _record(tx, "credit.take", arguments, now)

    return _say_balance(arguments, store, is_new=store.write(work), verb="taken")


def _record(tx: Tx, action: str, arguments: argparse.Namespace, now: int) -> bool:
    record(tx, operator(), action, arguments.account, {"amount": dollars(arguments.amount), "ref": arguments.ref}, now)
    return True


def _figures(store: Store, account: str) -> dict[str, str]:
    def work(tx: Tx) -> history.Credits:
        accounts.check_account(tx, account)
        credits = history.credits_of(tx, account)
        assert credits is not None
        return credits

    credits = store.read(work)
    return {
        "account": credits.account,
        "balance": dollars(credits.available_nano + credits.leased_nano),
        "available": dollars(credits.available_nano),
        "leased": dollars(credits.leased_nano),
        "total_credits": dollars(credits.topped_nano),
        "total_usage": dollars(credits.spent_nano),
        "absorbed": dollars(credits.absorbed_nano),
    }


def _say_balance(arguments: argparse.Namespace, store: Store, *, is_new: bool, verb: str) -> int:
    figures = _figures(store, arguments.account)
    if arguments.json:
        return show_one({**figures, "booked": is_new}, as_json=True)
    if not is_new:
        say(f"the reference {arguments.ref!r} was booked before: nothing was {verb}")
    say(f"{arguments.account}: {figures['available']} dollars available, {figures['leased']} leased to nodes")
    return 0


def show_credits(arguments: argparse.Namespace, store: Store, now: int) -> int:
    return show_one(_figures(store, arguments.account), arguments.json)


def list_credits(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> list[history.Credits]:
        names = [row[0] for row in tx.rows("SELECT account FROM accounts ORDER BY account")]
        return [credits for name in names if (credits := history.credits_of(tx, name)) is not None]

    rows = [
        {
            "account": one.account,
            "balance": dollars(one.available_nano + one.leased_nano),
            "available": dollars(one.available_nano),
            "leased": dollars(one.leased_nano),
            "total_credits": dollars(one.topped_nano),
            "total_usage": dollars(one.spent_nano),
        }
        for one in store.read(work)
    ]
    return show(rows, arguments.json)


def show_history(arguments: argparse.Namespace, store: Store, now: int) -> int:
    def work(tx: Tx) -> list[payments.Payment]:
        accounts.check_account(tx, arguments.account)
        return payments.list_payments(tx, arguments.account)

    rows = [
        {"at": timestamp(one.at_ms), "kind": one.kind, "amount": dollars(one.amount_nano), "ref": one.ref}
        for one in store.read(work)
    ]
    return show(rows, arguments.json)
