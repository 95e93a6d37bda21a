"""The unpaid endpoints of an edge: what can be called, whether it is well, what it counts.

Rule: these need no key and tell nothing about accounts.
"""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from edge.node import Node
from edge.reply import send_refusal
from routing.refusal import Refusal

PREFIXES = ("/api/v1", "/v1")


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def routes(node: Node) -> list[Route]:
    """The routes of the unpaid endpoints."""

    async def models(request: Request) -> Response:
        return _json(node.table.catalog.listing)

    async def endpoints(request: Request) -> Response:
        model_id = request.path_params["model"]
        body = node.table.catalog.endpoints(model_id)
        if body is None:
            refusal = Refusal(
                404, "model_not_found", f"{model_id!r} is not offered here; GET /models lists what is", param="model"
            )
            return _json(refusal.body(), 404)
        return _json(body)

    async def healthz(request: Request) -> Response:
        return _json(b'{"status":"ok"}')

    async def readyz(request: Request) -> Response:
        return _json(b'{"status":"ready"}') if node.is_ready else _json(b'{"status":"not ready"}', 503)

    async def metrics(request: Request) -> Response:
        return Response(node.metrics.text(node.gauges()), media_type="text/plain; version=0.0.4")

    found = [Route(prefix + "/models", models) for prefix in PREFIXES]
    found += [Route(prefix + "/models/{model:path}/endpoints", endpoints) for prefix in PREFIXES]
    plain: dict[str, Callable[[Request], object]] = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}
    return found + [Route(path, endpoint) for path, endpoint in plain.items()]


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """What no route serves."""
    message = f"there is nothing at {scope['path']}: the API lives under /api/v1, for example POST /api/v1/chat/completions"
    await send_refusal(send, Refusal(404, "not_found", message), [])
