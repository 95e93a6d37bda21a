"""The operator's view of edge nodes: which are heard of, what they hold, what is missing of them."""

from starlette.responses import Response

from collector.dashboard.visit import Visit
from collector.leasing import nodes

STALE_MS = 30_000
"""A node that was not heard of for so long is shown as away."""


async def show(visit: Visit) -> Response:
    found = await visit.read(lambda tx, now: nodes.list_nodes(tx, now))
    return visit.render("operator/nodes.html", {"nodes": found, "stale_ms": STALE_MS})
