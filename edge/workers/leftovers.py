"""`tollway journal ship`: what a process left in its data folder goes to the collector, without serving anybody.

For a worker that was replaced, and for the volume of a machine that is not started again. Rule: it is the node itself that does
it, under an epoch of its own; what cannot be shipped in time stays in the folder, and the exit status says so.
"""

import asyncio
import time

from edge.data_folder import StartProblem, locked, node_name
from edge.drain import LEFT
from edge.node import Node
from edge.settings import Settings

SHIP_S_MAX = 60.0
LOOK_S = 0.1


def ship(settings: Settings) -> int:
    """The exit status: 0 when nothing is left. StartProblem: another process has the folder, or there is no collector."""
    if settings.collector_url is None:
        raise StartProblem("TOLLWAY_COLLECTOR_URL is not set: with the collector embedded, `tollway serve` ships what is left")
    with locked(settings.data):
        return asyncio.run(_ship(settings, node_name(settings), settings.collector_url))


async def _ship(settings: Settings, name: str, url: str) -> int:
    from edge.collector_client.enrolment import Enrolment
    from edge.collector_client.http import HttpCollectorClient

    client = HttpCollectorClient(url, "", enrolment=Enrolment.of(settings, name))
    node = Node(settings, name, client)
    until_s = time.monotonic() + SHIP_S_MAX
    await node.start()
    while not node.has_shipped_leftovers() and time.monotonic() < until_s:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_S)
    is_whole = node.has_shipped_leftovers()
    await node.stop()
    await client.aclose()
    return 0 if is_whole and not node.left else LEFT
