"""The operator's audit: the log of what was done by whom, and the check of every invariant of the books."""

from starlette.responses import Response

from collector.accounts.audit_log import entries
from collector.dashboard.operator.accounts import ROWS_MAX
from collector.dashboard.visit import Visit
from collector.ledger.audit import verify


async def show_log(visit: Visit) -> Response:
    subject = visit.param("subject")
    found = await visit.read(lambda tx, now: entries(tx, subject=subject, count_max=ROWS_MAX))
    return visit.render("operator/audit.html", {"entries": list(reversed(found)), "subject": subject})


async def show_checks(visit: Visit) -> Response:
    """Checks the whole store, so only when asked to."""
    checks = await visit.read(lambda tx, now: verify(tx)) if visit.param("run") else None
    return visit.render("operator/verify.html", {"checks": checks})
