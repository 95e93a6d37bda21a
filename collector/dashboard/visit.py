"""One request to the dashboard: who looks, at which account, in which time zone; and the way from a handler to a route.

Rule: a handler is called only with a living session of a sufficient role, and for what changes something only by a page of ours.
Rule: an account's session sees that account whatever the address says; an operator's sees the account that the address names.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlencode
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from collector.accounts.audit_log import Actor
from collector.accounts.marks import SESSION
from collector.accounts.roles import Role
from collector.analytics.calendar import UnknownZone, zone
from collector.dashboard.access import Forbidden, PagesUnderWay, SignInAttempts, check_origin, secret_of
from collector.dashboard.assets import Assets
from collector.dashboard.display import figures
from collector.dashboard.menu import OPERATOR_PAGES, PAGES
from collector.dashboard.page import Pages, packed
from collector.dashboard.page_version import version_of
from collector.dashboard.sessions import SEEN_MS, Session, find_session, touch_session
from collector.service import Collector
from collector.store.contract import Tx
from usage.protocol import Unreachable

ZONE_COOKIE = "tollway-tz"
_RANKS: dict[Role, int] = {"read": 0, "management": 1, "operator": 2}


class Visit:
    """What a handler is given. `account` is empty for an operator who has not chosen one."""

    def __init__(
        self, dashboard: "Dashboard", request: Request, session: Session, account: str, version: str, now_ms: int
    ) -> None:
        self.dashboard = dashboard
        self.account = account
        self.version = version
        self.request = request
        self.session = session
        self.now_ms = now_ms
        self.zone = zone_of(request)

    def param(self, name: str, default: str = "") -> str:
        """A member of the query, without what PostgreSQL cannot take."""
        return self.request.query_params.get(name, default).replace("\0", "?")

    def link(self, path: str, **params: Any) -> str:
        """An address of the dashboard that keeps the account an operator looks at, and a time zone that was named."""
        named = {name: value for name, value in params.items() if value not in (None, "")}
        if self.session.is_operator and self.account and "account" not in named:
            named["account"] = self.account
        if named_zone := self.param("tz"):
            named["tz"] = named_zone
        return f"{path}?{urlencode(named)}" if named else path

    def actor(self) -> Actor:
        """For the audit log: which session, and from where."""
        who = f"account {self.session.account}" if self.session.account else "operator"
        return Actor(f"{who}, session {self.session.digest[:8]}", self.session.address)

    async def read(self, work: Callable[[Tx, int], Any]) -> Any:
        return await self.dashboard.collector.read(work)

    async def write(self, work: Callable[[Tx, int], Any]) -> Any:
        return await self.dashboard.collector.write(work)

    def render(self, template: str, values: Mapping[str, Any], status: int = 200, form: str = "") -> Response:
        """A page inside the frame."""
        framed = {
            "link": self.link,
            "session": self.session,
            "account": self.account,
            "pages": PAGES if self.account else (),
            "operator_pages": OPERATOR_PAGES,
            "here": self.request.url.path,
            "address": self.request.url.path + (f"?{self.request.url.query}" if self.request.url.query else ""),
            "zone": self.zone.key,
            "moment": lambda time_ms: figures.moment(time_ms, self.zone),
            "ago": lambda time_ms: figures.ago(time_ms, self.now_ms),
            "now_ms": self.now_ms,
            "version": self.version,
            "live": False,
            "notice": "",
            "notice_kind": "",
        }
        return self.dashboard.pages.render(template, framed | dict(values), status, form)

    def no_account(self) -> Response:
        """The page for an account that an operator named and that is not there."""
        text = f"There is no account {self.account}."
        return self.dashboard.plain("Not found", text, 404, "/dashboard/accounts", "To the accounts")

    def go(self, path: str, **params: Any) -> Response:
        """On to a page, after something was done."""
        return RedirectResponse(self.link(path, **params), 303)


Handler = Callable[[Visit], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


class Dashboard:
    """What all pages share. `edge_origin` is where callers reach the API, empty when that is where this is served."""

    def __init__(self, collector: Collector, edge_origin: str = "") -> None:
        self.collector = collector
        self.edge_origin = edge_origin
        self.assets = Assets()
        self.pages = Pages(self.assets, edge_origin)
        self.attempts = SignInAttempts()
        self.under_way = PagesUnderWay()

    def route(self, path: str, handler: Handler, role: Role = "read", methods: tuple[str, ...] = ("GET",)) -> Route:
        """The route of a page that needs a session."""

        async def endpoint(request: Request) -> Response:
            with self.under_way.one_more(secret_of(request)):
                return await answer(request)

        async def answer(request: Request) -> Response:
            found = await self._look_up(request)
            if found is None:
                return self._sign_in(request)
            session, account, version = found
            if _RANKS[session.role] < _RANKS[role]:
                raise Forbidden(f"this page needs a session of the role {role}; yours is {session.role}")
            visit = Visit(self, request, session, account, version, self.collector.clock_ms())
            if not visit.account and role != "operator" and not path.startswith("/dashboard/sessions"):
                return RedirectResponse("/dashboard/accounts", 303)
            return await handler(visit)

        return self.open_route(path, endpoint, methods)

    def open_route(self, path: str, endpoint: Endpoint, methods: tuple[str, ...] = ("GET",)) -> Route:
        """The route of a page that needs no session."""

        async def guarded(request: Request) -> Response:
            try:
                check_origin(request)
                return packed(request, await endpoint(request))
            except Forbidden as problem:
                return self.plain("This was not done", problem.message, problem.status)
            except Unreachable as problem:
                return self.plain("The books cannot be read right now", f"{problem}; try again.", 503)

        return Route(path, guarded, methods=list(methods))

    def plain(
        self, title: str, text: str, status: int, back: str = "/dashboard", back_name: str = "To the dashboard"
    ) -> Response:
        """A page of one sentence."""
        return self.pages.render("plain.html", {"title": title, "text": text, "back": back, "back_name": back_name}, status)

    async def _look_up(self, request: Request) -> tuple[Session, str, str] | None:
        """(session, the account it looks at, the name of that account's state); None without a living session."""
        secret, named = secret_of(request), request.query_params.get("account", "").replace("\0", "?")
        if not secret or not await self.collector.marks.may_open(secret, SESSION):
            return None

        def work(tx: Tx, now: int) -> tuple[Session, str, str] | None:
            session = find_session(tx, secret, now)
            if session is None:
                return None
            account = named if session.is_operator else session.account
            return session, account, version_of(tx, account, now) if account else ""

        found: tuple[Session, str, str] | None = await self.collector.read(work)
        if found is not None and self.collector.clock_ms() - found[0].seen_ms > SEEN_MS:
            session = found[0]
            await self.collector.write(lambda tx, now: touch_session(tx, session, now))
        return found

    def _sign_in(self, request: Request) -> Response:
        if request.method != "GET" or request.headers.get("hx-request"):
            return self.plain("Signed out", "Your session has ended.", 401, "/dashboard/login", "Sign in again")
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse("/dashboard/login?" + urlencode({"next": target}), 303)


def zone_of(request: Request) -> ZoneInfo:
    """The zone that the address names, else the browser's, else UTC."""
    for name in (request.query_params.get("tz", ""), unquote(request.cookies.get(ZONE_COOKIE, ""))):
        try:
            return zone(name)
        except UnknownZone:
            continue
    return zone("UTC")
