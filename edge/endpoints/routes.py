"""The endpoints of an edge: the paid one, the account's, what can be called, whether the edge is well.

Rule: those that need no key tell nothing about accounts, nor of the business; what an operator reads is elsewhere
(`edge.endpoints.admin`).
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, request_response
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.endpoints.router import BASES, PathEndpoint
from edge.node import Node
from routing.plan.refusal import Refusal
from routing.surfaces import BETA_BASES, SURFACES
from usage.flavor import Flavor, flavor_of

MODELS_PER_PAGE = 1_000
PAID = tuple(
    (base + path, entry)
    for entry in SURFACES
    for path in entry.paths
    for base in ((*BASES, *BETA_BASES) if "{" in path else BASES)
)
"""Path → surface, of all that is paid."""
ACCOUNT_PATHS: Mapping[str, tuple[str, ...]] = {
    "/credits": ("GET",),
    "/key": ("GET",),
    "/auth/key": ("GET",),
    "/generation": ("GET",),
    "/generations": ("GET",),
    "/activity": ("GET",),
    "/keys": ("GET", "POST"),
    "/keys/{hash}": ("GET", "PATCH", "DELETE"),
    "/rate_limits": ("GET", "PUT"),
    "/credentials": ("GET", "POST"),
    "/credentials/{id}": ("DELETE",),
    "/analytics/query": ("POST",),
    "/analytics/meta": ("GET",),
    "/organization/usage/completions": ("GET",),
    "/organization/costs": ("GET",),
    "/exports/usage.csv": ("GET",),
    "/exports/generations.csv": ("GET",),
    "/exports/focus.csv": ("GET",),
    "/topups": ("GET", "POST"),
    "/topups/checkout": ("POST",),
    "/webhooks/stripe": ("POST",),
    "/invoices.csv": ("GET",),
    "/auth/keys/code": ("POST",),
    "/auth/keys": ("POST",),
    "/alerts": ("GET", "POST"),
    "/alerts/{id}": ("DELETE",),
    "/alerts/destinations": ("GET", "POST"),
    "/alerts/destinations/{id}": ("DELETE",),
    "/alerts/destinations/{id}/test": ("POST",),
    "/alerts/events": ("GET",),
    "/alerts/events/{id}/replay": ("POST",),
    "/openapi.json": ("GET",),
}
"""What the collector answers for accounts, under both bases; a test holds it to the collector's own list."""


def paid(node: Node) -> Mapping[str, ASGIApp]:
    """The paid endpoints by their path."""
    return {path: node.paid(entry) for path, entry in PAID if "{" not in path}


def routes(node: Node, account: ASGIApp) -> list[Route]:
    """Every endpoint, the paid ones with their odd spellings included. `account` answers for accounts."""
    found = [Route(path, PathEndpoint(PaidEndpoint(node.paid(entry)), "POST")) for path, entry in PAID]
    for base in BASES:
        # What is spelled out goes first, or `/alerts/{id}` would answer for `/alerts/events`.
        paths = sorted(ACCOUNT_PATHS, key=lambda path: "{" in path)
        found += [Route(base + path, PathEndpoint(account, *ACCOUNT_PATHS[path])) for path in paths]
        found += _model_routes(node, base)
    return found + _health_routes(node)


class PaidEndpoint:
    """A surface's way in for Starlette's router, which takes a function for something else than a raw ASGI endpoint."""

    def __init__(self, answer: ASGIApp) -> None:
        self._answer = answer

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self._answer(scope, receive, send)


def _get(answer: Callable[[Request], Awaitable[Response]]) -> PathEndpoint:
    return PathEndpoint(request_response(answer), "GET")


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _model_routes(node: Node, base: str) -> list[Route]:
    flavor = flavor_of(base)

    async def models(request: Request) -> Response:
        if "anthropic-version" in request.headers:
            limit = request.query_params.get("limit", "")
            page = min(int(limit), MODELS_PER_PAGE) if limit.isdecimal() and limit.isascii() and 0 < len(limit) < 7 else 20
            return _json(node.table.catalog.anthropic_listing(max(page, 1), request.query_params.get("after_id", "")))
        return _json(node.table.catalog.listing(flavor))

    async def model(request: Request) -> Response:
        if "anthropic-version" in request.headers:
            return _of_model(request, node.table.catalog.anthropic_model(request.path_params["model"]))
        return _of_model(request, node.table.catalog.model(request.path_params["model"], flavor))

    async def endpoints(request: Request) -> Response:
        return _of_model(request, node.table.catalog.endpoints(request.path_params["model"]))

    def _of_model(request: Request, body: bytes | None) -> Response:
        if body is not None:
            return _json(body)
        name = request.path_params["model"]
        guess = node.table.catalog.nearest(name)
        hint = f"did you mean {guess}? " if guess is not None else ""
        message = f"{name[:200]!r} is not offered here; {hint}GET {base}/models lists what is"
        return _json(Refusal(404, "model_not_found", message, param="model").body(flavor), 404)

    found = [Route(base + "/models", _get(models)), Route(base + "/models/{model:path}/endpoints", _get(endpoints))]
    if flavor is Flavor.OPENROUTER:

        async def count(request: Request) -> Response:
            return _json(node.table.catalog.count)

        found += [Route(base + "/models/count", _get(count)), Route(base + "/model/{model:path}", _get(model))]
    return [*found, Route(base + "/models/{model:path}", _get(model))]


def _health_routes(node: Node) -> list[Route]:
    async def healthz(request: Request) -> Response:
        return _json(b'{"status":"ok"}')

    async def readyz(request: Request) -> Response:
        return _json(b'{"status":"ready"}') if node.readiness().is_ready else _json(b'{"status":"not ready"}', 503)

    plain = {"/healthz": healthz, "/readyz": readyz}
    return [Route(path, _get(answer)) for path, answer in plain.items()]
