"""The endpoints of an edge: the paid one, the account's, what can be called, whether the edge is well.

Rule: those that need no key tell nothing about accounts, nor of the business; what an operator reads is elsewhere
(`edge.endpoints.admin`).
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, request_response
from starlette.types import Receive, Scope, Send

from edge.endpoints.front import PathEndpoint, refused
from edge.process import PAID, Edge
from routing.plan.refusal import Refusal
from routing.surfaces import Entry
from usage.flavor import BASES, Flavor, flavor_of

MODELS_PER_PAGE = 1_000
_GOOGLE = "x-goog-api-client"
"""What Google's SDKs say of themselves, at `/v1` as well."""
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


def routes(edge: Edge) -> list[BaseRoute]:
    """Every path: the paid ones with their odd spellings, the account's, models, health; what is left is a page, or nothing."""
    found: list[BaseRoute] = [Route(path, PathEndpoint(PaidEndpoint(edge, entry), "POST")) for path, entry in PAID]
    for base in BASES:
        # What is spelled out goes first, or `/alerts/{id}` would answer for `/alerts/events`.
        paths = sorted(ACCOUNT_PATHS, key=lambda path: "{" in path)
        found += [Route(base + path, PathEndpoint(edge.account, *ACCOUNT_PATHS[path])) for path in paths]
        found += _model_routes(edge, base)
        found += _google_model_routes(edge, f"{base}beta")
    return [*found, *_health_routes(edge), Mount("", edge.pages)]


class PaidEndpoint:
    """A surface's way in for Starlette's router, which takes a function for something else than a raw ASGI endpoint."""

    def __init__(self, edge: Edge, entry: Entry) -> None:
        self._edge = edge
        self._entry = entry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._edge.running.paid(self._entry)(scope, receive, send)


def _get(answer: Callable[[Request], Awaitable[Response]]) -> PathEndpoint:
    return PathEndpoint(request_response(answer), "GET")


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _model_routes(edge: Edge, base: str) -> list[Route]:
    flavor = flavor_of(base)

    async def models(request: Request) -> Response:
        if "anthropic-version" in request.headers:
            limit, after = _page(request.query_params.get("limit", ""), 20), request.query_params.get("after_id", "")
            return _json(edge.running.table.catalog.anthropic_listing(limit, after))
        if _GOOGLE in request.headers:
            return _google_models(edge, request)
        return _json(edge.running.table.catalog.listing(flavor))

    async def model(request: Request) -> Response:
        if "anthropic-version" in request.headers:
            return _of_model(request, edge.running.table.catalog.anthropic_model(request.path_params["model"]))
        if _GOOGLE in request.headers:
            return _google_models(edge, request)
        return _of_model(request, edge.running.table.catalog.model(request.path_params["model"], flavor))

    async def endpoints(request: Request) -> Response:
        return _of_model(request, edge.running.table.catalog.endpoints(request.path_params["model"]))

    def _of_model(request: Request, body: bytes | None) -> Response:
        if body is not None:
            return _json(body)
        name = request.path_params["model"]
        guess = edge.running.table.catalog.nearest(name)
        hint = f"did you mean {guess}? " if guess is not None else ""
        message = f"{name[:200]!r} is not offered here; {hint}GET {base}/models lists what is"
        return refused(request, Refusal(404, "model_not_found", message, param="model"))

    found = [Route(base + "/models", _get(models)), Route(base + "/models/{model:path}/endpoints", _get(endpoints))]
    if flavor is Flavor.OPENROUTER:

        async def count(request: Request) -> Response:
            return _json(edge.running.table.catalog.count)

        found += [Route(base + "/models/count", _get(count)), Route(base + "/model/{model:path}", _get(model))]
        found += [Route(base + "/models/user", _get(models)), *_listing_routes(edge, base)]
    return [*found, Route(base + "/models/{model:path}", _get(model))]


def _listing_routes(edge: Edge, base: str) -> list[Route]:
    """Lists that OpenRouter's clients alone ask for."""

    async def embeddings(request: Request) -> Response:
        limit, offset = request.query_params.get("limit", ""), request.query_params.get("offset", "")
        return _json(edge.running.table.catalog.embeddings_listing(_page(limit, 500), _page(offset, 0, 0)))

    async def images(request: Request) -> Response:
        return _json(edge.running.table.catalog.images_listing())

    async def image_endpoints(request: Request) -> Response:
        name = request.path_params["model"]
        if (body := edge.running.table.catalog.image_endpoints(name)) is not None:
            return _json(body)
        message = f"{name[:200]!r} makes no pictures here; GET {base}/images/models lists what does"
        return refused(request, Refusal(404, "model_not_found", message, param="model"))

    async def providers(request: Request) -> Response:
        return _json(edge.running.table.catalog.providers)

    async def zdr(request: Request) -> Response:
        return _json(edge.running.table.catalog.zdr_endpoints())

    plain = {
        "/embeddings/models": embeddings,
        "/images/models": images,
        "/images/models/{model:path}/endpoints": image_endpoints,
        "/providers": providers,
        "/endpoints/zdr": zdr,
    }
    return [Route(base + path, _get(answer)) for path, answer in plain.items()]


def _google_models(edge: Edge, request: Request) -> Response:
    """For Google's clients: a page of the list, or one of them."""
    catalog, name = edge.running.table.catalog, request.path_params.get("model")
    if name is None:
        limit, after = _page(request.query_params.get("pageSize", ""), 50), request.query_params.get("pageToken", "")
        return _json(catalog.google_listing(limit, after))
    if (body := catalog.google_model(name)) is not None:
        return _json(body)
    return refused(
        request, Refusal(404, "model_not_found", f"{name[:200]!r} is not offered here; GET /v1beta/models lists what is")
    )


def _google_model_routes(edge: Edge, base: str) -> list[Route]:
    async def models(request: Request) -> Response:
        return _google_models(edge, request)

    return [Route(base + "/models", _get(models)), Route(base + "/models/{model:path}", _get(models))]


def _page(limit: str, usual: int, least: int = 1) -> int:
    """How many entries a list is to have, or to leave out."""
    is_number = limit.isdecimal() and limit.isascii() and len(limit) < 7
    return max(min(int(limit), MODELS_PER_PAGE), least) if is_number else usual


def _health_routes(edge: Edge) -> list[Route]:
    async def healthz(request: Request) -> Response:
        return _json(b'{"status":"ok"}')

    async def readyz(request: Request) -> Response:
        return _json(b'{"status":"ready"}') if edge.running.readiness().is_ready else _json(b'{"status":"not ready"}', 503)

    plain = {"/healthz": healthz, "/readyz": readyz}
    return [Route(path, _get(answer)) for path, answer in plain.items()]
