"""Every address of the dashboard, and who may ask for it."""

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from collector.dashboard import live, signin
from collector.dashboard.account import alerts, authorize, credit, generations, key, keys, overview, playground, usage
from collector.dashboard.operator import accounts, audit, nodes, providers, topups
from collector.dashboard.visit import Dashboard
from collector.service import Collector

POST = ("POST",)


class Site:
    """The dashboard as routes. `is_leaving` says whether the process wants to stop, so that open pages let it."""

    def __init__(self, collector: Collector, edge_origin: str = "", is_leaving: Callable[[], bool] = lambda: False) -> None:
        self._dashboard = dashboard = Dashboard(collector, edge_origin)
        feed = live.Feed(collector, is_leaving)
        self.leave = feed.leaving.set
        """End what open pages listen to, for a server that stops."""
        self.routes: Sequence[BaseRoute] = [
            *_sign_in_pages(dashboard),
            Route("/auth", _ask_owner, methods=["GET"]),
            Route("/dashboard/static/{name}", self._asset, methods=["GET"]),
            dashboard.route("/dashboard/live", live.serve(feed)),
            *_account_pages(dashboard),
            *_operator_pages(dashboard),
            Route("/dashboard/{path:path}", self._nothing),
        ]

    async def _asset(self, request: Request) -> Response:
        found = self._dashboard.assets.find(request.path_params["name"], request.headers.get("accept-encoding", ""))
        return found or self._dashboard.plain("Not found", "There is no such file.", 404)

    async def _nothing(self, request: Request) -> Response:
        if request.url.path == "/dashboard/":
            return RedirectResponse("/dashboard", 308)
        return self._dashboard.plain("Not found", "The dashboard has no such page.", 404)


async def _ask_owner(request: Request) -> Response:
    """An application sends the owner's browser here, as to OpenRouter's `/auth`: to the page that asks for consent."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/dashboard/authorize{query}", 303)


def _sign_in_pages(dashboard: Dashboard) -> list[Route]:
    sign_in = signin.SignIn(dashboard)
    page, open_page = dashboard.route, dashboard.open_route
    return [
        open_page("/", sign_in.welcome),
        open_page("/dashboard/login", sign_in.form),
        open_page("/dashboard/login", sign_in.submit, POST),
        open_page("/dashboard/login/{secret}", sign_in.show_link),
        open_page("/dashboard/login/{secret}", sign_in.use_link, POST),
        open_page("/dashboard/welcome-back", sign_in.welcome_back),
        page("/dashboard/sessions", signin.show_sessions),
        page("/dashboard/sessions", signin.end_session, methods=POST),
        page("/dashboard/logout", signin.sign_out, methods=POST),
    ]


def _account_pages(dashboard: Dashboard) -> list[Route]:
    page = dashboard.route
    return [
        page("/dashboard", overview.show),
        page("/dashboard/credit", credit.show),
        page("/dashboard/credit", credit.buy, "management", POST),
        page("/dashboard/statement.csv", credit.download),
        page("/dashboard/usage", usage.show),
        page("/dashboard/usage.csv", usage.download),
        page("/dashboard/generations", generations.show_list),
        page("/dashboard/generations.csv", generations.download),
        page("/dashboard/generations/{gen_id}", generations.show_one),
        page("/dashboard/keys", keys.show),
        page("/dashboard/keys", keys.create, "management", POST),
        page("/dashboard/keys/{key_id}", key.show),
        page("/dashboard/keys/{key_id}", key.change, "management", POST),
        page("/dashboard/keys/{key_id}/revoke", keys.revoke, "management", POST),
        page("/dashboard/alerts", alerts.show),
        page("/dashboard/alerts", alerts.change, "management", POST),
        page("/dashboard/authorize", authorize.show, "management"),
        page("/dashboard/authorize", authorize.grant, "management", POST),
        page("/dashboard/playground", playground.show),
        page("/dashboard/playground/key", playground.give_key, "management", POST),
    ]


def _operator_pages(dashboard: Dashboard) -> list[Route]:
    page = dashboard.route
    return [
        page("/dashboard/accounts", accounts.show, "operator"),
        page("/dashboard/accounts", accounts.create, "operator", POST),
        page("/dashboard/top-ups", topups.show, "operator"),
        page("/dashboard/top-ups", topups.top_up, "operator", POST),
        page("/dashboard/nodes", nodes.show, "operator"),
        page("/dashboard/providers", providers.show, "operator"),
        page("/dashboard/audit", audit.show_log, "operator"),
        page("/dashboard/verify", audit.show_checks, "operator"),
    ]
