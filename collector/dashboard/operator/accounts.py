"""The operator's list of accounts, and making one."""

import msgspec
from starlette.responses import Response

from collector.accounts import history
from collector.accounts.accounts import Mistake, create_account
from collector.accounts.audit_log import record
from collector.dashboard.access import read_form
from collector.dashboard.visit import Visit
from collector.store.contract import Tx

ROWS_MAX = 500


class OperatorRow(msgspec.Struct, frozen=True):
    """One line of the list of accounts."""

    credits: history.Credits
    keys: int


async def show(visit: Visit, problem: str = "") -> Response:
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
    return visit.render("operator/accounts.html", values, 400 if problem else 200)


async def create(visit: Visit) -> Response:
    fields = await read_form(visit.request)
    account = fields.get("account", "")

    def work(tx: Tx, now: int) -> None:
        if not create_account(tx, account, now):
            raise Mistake(f"the account {account!r} exists already")
        record(tx, visit.actor(), "account.create", account, {}, now)

    try:
        await visit.write(work)
    except Mistake as problem:
        return await show(visit, str(problem))
    return visit.go("/dashboard", account=account)
