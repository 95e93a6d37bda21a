"""The operator's top-ups: what was paid in, of one account or of all, and paying in."""

from starlette.responses import Response

from collector.accounts import payments
from collector.accounts.accounts import Mistake
from collector.accounts.audit_log import record
from collector.dashboard.access import read_form
from collector.dashboard.operator.accounts import ROWS_MAX
from collector.dashboard.visit import Visit
from collector.store.contract import Tx
from usage.pricing import dollars, nano_from_dollars


async def show(visit: Visit, problem: str = "") -> Response:
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
    return visit.render("operator/topups.html", values, 400 if problem else 200)


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
        return await show(visit, str(problem))
    return visit.go("/dashboard/top-ups")
