"""Every operation of the account's API as Starlette routes, under both bases; and its description at `/openapi.json`.

Rule: a path that is there answers every method: with what it does, with 405 and what it takes instead, or with OPTIONS.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from collector.api.account import alerts, authorize, credentials, credits, key, keys, topups
from collector.api.openapi import describe
from collector.api.operation import Operation
from collector.api.problem import ApiError
from collector.api.serving import refuse, serve
from collector.api.usage import activity, analytics, exports, generations, organization
from collector.service import Collector
from usage.flavor import BASES

OPENAPI = "/openapi.json"
OPERATIONS: tuple[Operation, ...] = (
    *credits.OPERATIONS,
    *key.OPERATIONS,
    *activity.OPERATIONS,
    *generations.OPERATIONS,
    *keys.OPERATIONS,
    *credentials.OPERATIONS,
    *analytics.OPERATIONS,
    *organization.OPERATIONS,
    *exports.OPERATIONS,
    *topups.OPERATIONS,
    *authorize.OPERATIONS,
    *alerts.OPERATIONS,
)


def routes(collector: Collector) -> list[BaseRoute]:
    """The routes; literal paths before those with parameters."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        for base in operation.bases:
            by_path.setdefault(base + operation.path, {})[operation.method] = operation
    found: list[BaseRoute] = [
        Route(path, _Endpoint(collector, by_path[path]), methods=None)
        for path in sorted(by_path, key=lambda path: ("{" in path, path))
    ]
    return [*found, *(Route(path, _openapi) for path in (OPENAPI, *(base + OPENAPI for base in BASES)))]


class _Endpoint:
    """An ASGI endpoint for one path: Starlette then leaves the methods to us."""

    def __init__(self, collector: Collector, operations: dict[str, Operation]) -> None:
        self._collector = collector
        self._operations = operations
        self._allow = ", ".join((*operations, *(("HEAD",) if "GET" in operations else ()), "OPTIONS"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        operation = self._operations.get("GET" if request.method == "HEAD" else request.method)
        if operation is not None:
            response = await serve(self._collector, operation, request)
        elif request.method == "OPTIONS":
            response = Response(None, 204, {"allow": self._allow})
        else:
            message = f"{request.method[:20]} is not possible here; send {self._allow}"
            response = refuse(request, ApiError(405, message, "method_not_allowed"))
            response.headers["allow"] = self._allow
        await response(scope, receive, send)


async def _openapi(request: Request) -> Response:
    return Response(describe(OPERATIONS), media_type="application/json", headers={"cache-control": "public, max-age=300"})
