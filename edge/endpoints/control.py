"""What an operator may do to a running edge, at the operator's own address: put the table in force now, and see what rests.

Rule: nothing here changes anything but what the file says; a page in a browser of this machine cannot call it, because it needs a
header that no page may send unasked. Limits: who may connect to TOLLWAY_ADMIN may do this.
"""

from time import monotonic
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge.node import Node

CONTROL = "x-tollway-control"
NEEDS_CONTROL = f"this needs the header {CONTROL}: `tollway reload` sends it"


def control_routes(node: Node) -> list[Route]:
    async def reload(request: Request) -> Response:
        if CONTROL not in request.headers:
            return _json({"error": NEEDS_CONTROL}, 403)
        outcome = await node.reloader.reload(force="force" in request.query_params)
        return _json(outcome, 200 if outcome.succeeded else 409)

    async def status(request: Request) -> Response:
        return _json(status_of(node))

    return [Route("/reload", reload, methods=["POST"]), Route("/status", status)]


def status_of(node: Node) -> dict[str, Any]:
    """The node, its table, what rests and for how long, and how fast targets are."""
    readiness = node.readiness()
    return {
        "node": node.name,
        "ready": readiness.is_ready,
        "problems": readiness.problems,
        "warnings": readiness.warnings,
        "open_requests": len(node.watch.contexts),
        "config": msgspec.to_builtins(node.reloader.outcome),
        "resting": node.table.resting(monotonic()),
        "returning": node.table.returning(monotonic()),
        "first_token_s": {name: round(value, 3) for name, value in sorted(node.table.observed.first_token_s.items())},
    }


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n", status, media_type="application/json")
