"""The page on which an account's owner lets an application have a key: the consent of `/auth` (PKCE,
`collector.accounts.authorization`).

Rule: the key's name, its limit and its life are on the page and the owner's to change, before the application has anything. Rule:
the code goes to the address that the page names, and the browser is let go to that origin alone.
"""

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.responses import RedirectResponse, Response

from collector.accounts import authorization
from collector.accounts.accounts import Mistake
from collector.accounts.audit_log import record
from collector.accounts.keys import KeyTerms
from collector.accounts.window import RESETS
from collector.dashboard.access import read_form
from collector.dashboard.account.keys import LIFES, terms_of
from collector.dashboard.visit import Visit
from collector.store.contract import Tx

ASKED = ("callback_url", "code_challenge", "code_challenge_method")
LIMIT_DEFAULT = "5.00"
LIFE_DEFAULT = "90"


async def show(visit: Visit, asked: dict[str, str] | None = None, problem: str = "") -> Response:
    """What the application asks for, and the form that grants it."""
    asked = asked or {name: visit.param(name) for name in (*ASKED, "key_label", "limit", "usage_limit_type")}
    wrong = check(asked)
    if wrong:
        return visit.dashboard.plain("This application asks wrongly", f"{wrong}.", 400)
    callback = urlsplit(asked["callback_url"])
    origin = f"{callback.scheme}://{callback.netloc}"
    values: dict[str, Any] = {
        "asked": asked,
        "host": callback.netloc,
        "resets": RESETS,
        "lifes": LIFES,
        "name": asked.get("name") or asked.get("key_label") or callback.netloc,
        "limit_reset": asked.get("limit_reset") or asked.get("usage_limit_type") or "none",
        "limit": asked.get("limit") or LIMIT_DEFAULT,
        "life": asked.get("life") or LIFE_DEFAULT,
        "problem": problem,
    }
    return visit.render("account/authorize.html", values, 400 if problem else 200, form=origin)


async def grant(visit: Visit) -> Response:
    """The owner pressed the button: back to the application, with a code or with its refusal."""
    fields, account = await read_form(visit.request), visit.account
    wrong = check(fields)
    if wrong:
        return visit.dashboard.plain("This application asks wrongly", f"{wrong}.", 400)
    if fields.get("answer") != "grant":
        return _back(fields["callback_url"], error="access_denied")
    try:
        terms: KeyTerms = terms_of(fields, visit.now_ms)

        def work(tx: Tx, now: int) -> str:
            code = authorization.issue_code(tx, authorization.Grant(account, fields["code_challenge"], terms), now)
            detail = {"callback": fields["callback_url"], "key": terms.name}
            record(tx, visit.actor(), "code.grant", account, detail, now)
            return code

        return _back(fields["callback_url"], code=await visit.write(work))
    except (Mistake, ValueError) as problem:
        return await show(visit, fields, str(problem))


def check(asked: dict[str, str]) -> str:
    """What is wrong with what an application asks for; empty when nothing is."""
    try:
        authorization.check_callback(asked.get("callback_url", ""))
        authorization.check_challenge(asked.get("code_challenge", ""), asked.get("code_challenge_method") or "S256")
    except Mistake as problem:
        return str(problem)
    return ""


def _back(callback_url: str, **members: str) -> Response:
    parts = urlsplit(callback_url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *members.items()])
    return RedirectResponse(urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, "")), 303)
