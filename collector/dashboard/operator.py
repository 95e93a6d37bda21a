"""The operator's pages: accounts, top-ups, nodes, the audit log and the check of the books."""

import msgspec
from starlette.responses import Response

from collector.accounts import history, payments
from collector.accounts.accounts import Mistake, create_account
from collector.accounts.audit_log import entries, record
from collector.dashboard.access import read_form
from collector.dashboard.visit import Visit
from collector.leasing import nodes
from collector.ledger.audit import verify
from collector.store.contract import Tx
from usage.pricing import dollars, nano_from_dollars

ROWS_MAX = 500
STALE_MS = 30_000
"""A node that was not heard of for so long is shown as away."""


class OperatorRow(msgspec.Struct, frozen=True):
    """One line of the list of accounts."""

    credits: history.Credits
    keys: int


async def show_accounts(visit: Visit, problem: str = "") -> Response:
    wanted = visit.param("q").strip()

    def work(tx: Tx, now: int) -> list[OperatorRow]:
        like = f"%{wanted.lower()}%"
        rows = tx.rows("SELECT account FROM accounts WHERE LOWER(account) LIKE ? ORDER BY account LIMIT ?", like, ROWS_MAX)
        found = []
        for (account,) in rows:
            credits = history.credits_of(tx, account)
            keys = tx.row("SELECT COUNT(*) FROM keys WHERE account = ? AND disabled = 0", account)
            if credits is not None and keys is not None:
                found.append(OperatorRow(credits, keys[0]))
        return found

    accounts = await visit.read(work)
    values = {"accounts": accounts, "wanted": wanted, "rows_max": ROWS_MAX, "problem": problem}
    return visit.render("accounts.html", values, 400 if problem else 200)


async def make_account(visit: Visit) -> Response:
    fields = await read_form(visit.request)
    account = fields.get("account", "")

    def work(tx: Tx, now: int) -> None:
        if not create_account(tx, account, now):
            raise Mistake(f"the account {account!r} exists already")
        record(tx, visit.actor(), "account.create", account, {}, now)

    try:
        await visit.write(work)
    except Mistake as problem:
        return await show_accounts(visit, str(problem))
    return visit.go("/dashboard", account=account)


async def show_top_ups(visit: Visit, problem: str = "") -> Response:
    account = visit.account

    def work(tx: Tx, now: int) -> tuple[list[tuple[int, str, str, int, str]], list[str]]:
        where, params = (" AND account = ?", (account,)) if account else ("", ())
        rows = tx.rows(
            f"SELECT at_ms, kind, account, amount_nano, ref FROM postings WHERE kind IN ('top_up', 'correction'){where}"
            " ORDER BY posting_id DESC LIMIT ?",
            *params,
            ROWS_MAX,
        )
        names = [row[0] for row in tx.rows("SELECT account FROM accounts ORDER BY account LIMIT ?", ROWS_MAX)]
        return [(row[0], row[1], row[2], row[3], row[4]) for row in rows], names

    postings, names = await visit.read(work)
    values = {"postings": postings, "names": names, "problem": problem, "chosen": account}
    return visit.render("topups.html", values, 400 if problem else 200)


async def top_up(visit: Visit) -> Response:
    fields = await read_form(visit.request)
    account, ref = fields.get("account", ""), fields.get("ref", "")

    def work(tx: Tx, now: int) -> None:
        if tx.row("SELECT account FROM accounts WHERE account = ?", account) is None:
            raise Mistake(f"there is no account {account!r}; make it first")
        amount_nano = nano_from_dollars(fields.get("amount", ""))
        if not ref:
            raise Mistake("name the payment: a reference is booked once, however often it is sent")
        if payments.pay(tx, account, amount_nano, ref, "operator", now):
            record(tx, visit.actor(), "credit.add", account, {"amount": dollars(amount_nano), "ref": ref}, now)

    try:
        await visit.write(work)
    except (Mistake, ValueError) as problem:
        return await show_top_ups(visit, str(problem))
    return visit.go("/dashboard/top-ups")


async def show_nodes(visit: Visit) -> Response:
    found = await visit.read(lambda tx, now: nodes.list_nodes(tx, now))
    return visit.render("nodes.html", {"nodes": found, "stale_ms": STALE_MS})


async def show_audit(visit: Visit) -> Response:
    subject = visit.param("subject")
    found = await visit.read(lambda tx, now: entries(tx, subject=subject, count_max=ROWS_MAX))
    return visit.render("audit.html", {"entries": list(reversed(found)), "subject": subject})


async def show_verify(visit: Visit) -> Response:
    """Checks the whole store, so only when asked to."""
    checks = await visit.read(lambda tx, now: verify(tx)) if visit.param("run") else None
    return visit.render("verify.html", {"checks": checks})
