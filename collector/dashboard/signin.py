"""Signing in and out: by a management or read key, by the operator's token, or by a one-time link."""

from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.accounts.audit_log import Actor, record
from collector.accounts.marks import LINK, SESSION
from collector.accounts.roles import Role, find_credential, role_of
from collector.dashboard.access import Forbidden, forget, keep, read_form, secret_of
from collector.dashboard.sessions import (
    LIFE_MS,
    Visitor,
    close_others,
    close_session,
    find_session,
    list_sessions,
    open_session,
    use_link,
)
from collector.dashboard.visit import Dashboard, Visit
from collector.http.refusal_log import log_refusal
from collector.store.contract import Tx

LOST = "Your browser did not keep the session: the dashboard needs HTTPS, or an address on this machine such as http://localhost."


class SignIn:
    """The pages before there is a session."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard

    async def form(self, request: Request) -> Response:
        problem = LOST if request.query_params.get("lost") else ""
        return self._page(problem, safe_next(request.query_params.get("next", "")))

    async def submit(self, request: Request) -> Response:
        fields, address = await read_form(request), address_of(request)
        self._dashboard.attempts.check(address)
        target, text = safe_next(fields.get("next", "")), fields.get("key", "")
        collector = self._dashboard.collector
        is_marked = role_of(text) is not None and await collector.marks.may_be_ours(text)
        found = await collector.read(lambda tx, now: find_credential(tx, text, now)) if is_marked else None
        if found is None:
            self._refused(request, address, "no key or token that opens the dashboard")
            is_inference = text.startswith("sk_live_")
            told = "An inference key does not open the dashboard" if is_inference else "This opens nothing"
            return self._page(f"{told}: use a management or read key, or the operator's token.", target, 401)
        return await self._open(visitor_of(request, found.account, found.role, found.label), target)

    async def show_link(self, request: Request) -> Response:
        return self._dashboard.pages.render("link.html", {"secret": request.path_params["secret"]})

    async def use_link(self, request: Request) -> Response:
        address, secret = address_of(request), request.path_params["secret"]
        self._dashboard.attempts.check(address)
        collector = self._dashboard.collector
        may_open = await collector.marks.may_open(secret, LINK)
        found = await collector.write(lambda tx, now: use_link(tx, secret, now)) if may_open else None
        if found is None:
            self._refused(request, address, "no link that signs in")
            text = "It was used already, or is too old. `tollway login ACCOUNT` prints another one."
            return self._dashboard.plain("This link does not sign in", text, 401, "/dashboard/login", "Sign in with a key")
        return await self._open(visitor_of(request, *found, "one-time link"), "/dashboard")

    async def welcome(self, request: Request) -> Response:
        return self._dashboard.pages.render("welcome.html", {"edge_origin": self._dashboard.edge_origin or origin_of(request)})

    async def _open(self, visitor: Visitor, target: str) -> Response:
        account = visitor.account

        def work(tx: Tx, now: int) -> str:
            secret, session = open_session(tx, visitor, now)
            actor = Actor(f"account {account}" if account else "operator", visitor.address)
            detail = {"session": session.digest[:8], "by": visitor.opened_by}
            record(tx, actor, "session.open", account or "operator", detail, now)
            return secret

        secret = await self._dashboard.collector.write(work)
        response = RedirectResponse("/dashboard/welcome-back?" + urlencode({"next": target}), 303)
        keep(response, secret, LIFE_MS // 1000)
        return response

    async def welcome_back(self, request: Request) -> Response:
        """Behind a sign-in: whether the browser kept the session."""
        collector, secret = self._dashboard.collector, secret_of(request)
        may_open = await collector.marks.may_open(secret, SESSION)
        if may_open and await collector.read(lambda tx, now: find_session(tx, secret, now)) is not None:
            return RedirectResponse(safe_next(request.query_params.get("next", "")), 303)
        return RedirectResponse("/dashboard/login?lost=1", 303)

    def _refused(self, request: Request, address: str, reason: str) -> None:
        self._dashboard.attempts.note_failure(address)
        log_refusal(self._dashboard.collector.refusals, request, reason, "/dashboard/login")

    def _page(self, problem: str, target: str, status: int = 200) -> Response:
        return self._dashboard.pages.render("login.html", {"problem": problem, "next": target}, status)


async def sign_out(visit: Visit) -> Response:
    session = visit.session
    await visit.write(lambda tx, now: close_session(tx, session.digest, session.account))
    response = RedirectResponse("/dashboard/login", 303)
    forget(response)
    return response


async def show_sessions(visit: Visit) -> Response:
    session = visit.session
    found = await visit.read(lambda tx, now: list_sessions(tx, session.account, session.role, now))
    return visit.render("sessions.html", {"sessions": found})


async def end_session(visit: Visit) -> Response:
    session, fields = visit.session, await read_form(visit.request)

    def work(tx: Tx, now: int) -> None:
        if fields.get("digest") == "others":
            ended = close_others(tx, session)
        else:
            ended = int(close_session(tx, fields.get("digest", ""), session.account))
        record(tx, visit.actor(), "session.close", session.account or "operator", {"sessions": ended}, now)

    if not session.may_change and fields.get("digest") != session.digest:
        raise Forbidden("a read session ends no other one")
    await visit.write(work)
    return visit.go("/dashboard/sessions")


def safe_next(target: str) -> str:
    """Where to go behind the sign-in: a page of ours, whatever an address says."""
    parts = urlsplit(target)
    is_ours = not parts.scheme and not parts.netloc and parts.path.split("/")[1:2] == ["dashboard"] and "\\" not in target
    return target if is_ours else "/dashboard"


def visitor_of(request: Request, account: str, role: Role, opened_by: str) -> Visitor:
    """Who signs in by this request."""
    return Visitor(account, role, opened_by, address_of(request), request.headers.get("user-agent", ""))


def address_of(request: Request) -> str:
    """Where a request came from; empty where the server does not say."""
    return request.client.host if request.client else ""


def origin_of(request: Request) -> str:
    """Where a browser reached us."""
    return f"{request.url.scheme}://{request.headers.get('host', '')}"
