"""`tollway journal ship`: what a process left in its data folder goes to the collector, without serving anybody.

For a worker that was replaced, for those of an earlier start that had more of them (or none), and for the volume of a machine
that is not started again. Rule: it is the node itself that does it, under an epoch of its own; what cannot be shipped in time
stays in the folder, and the exit status says so.
"""

import asyncio
import contextlib
import logging
import os
import subprocess
import threading
import time
from collections.abc import Collection
from pathlib import Path

from edge.data_folder import StartProblem, folders, holder, locked, node_name
from edge.drain import LEFT
from edge.journal.files.disk import Disk
from edge.journal.files.folder import epochs
from edge.node import Node
from edge.settings import Settings
from edge.workers.worker import command, environment

SHIP_S_MAX = 60.0
SHIP_TRIES, SHIP_PAUSE_S = 10, 30.0
"""The collector may be away longer than one try waits for it."""
LOOK_S = 0.1
log = logging.getLogger("tollway.workers")


def left_behind(data: Path, node: str, serving: Collection[str]) -> list[tuple[str, Path]]:
    """(node, its folder) of what lies there that nobody in `serving` goes on with: of a start with other workers or none."""
    found = []
    for suffix, folder in folders(data):
        name = f"{node}@{suffix}" if suffix else node
        if name not in serving and has_epochs(folder, name):
            found.append((name, folder))
    return found


def has_epochs(folder: Path, name: str) -> bool:
    """Whether there is anything of that node in its folder that was not shipped."""
    return bool(epochs(Disk(), str(folder / "journal"), name))


def ship_left_behind(settings: Settings, node: str) -> None:
    """For a process without workers: what those of an earlier start left goes to the collector beside it, one after another."""
    waiting = left_behind(settings.data, node, {node})
    if not waiting:
        return
    names = ", ".join(name for name, _ in waiting)
    if settings.collector_url is None:
        log.error("usage of %s waits in %s: set TOLLWAY_COLLECTOR_URL to where those workers had it from", names, settings.data)
        return
    log.warning("usage of %s, which do not run any more, is shipped now", names)

    def ship_each() -> None:
        for name, folder in waiting:
            for _ in range(SHIP_TRIES):
                if subprocess.run([*command(), "journal", "ship"], env=environment(name, folder), check=False).returncode == 0:
                    break
                time.sleep(SHIP_PAUSE_S)
            else:
                log.error(
                    "what %s left is not shipped: `TOLLWAY_NODE=%s TOLLWAY_DATA=%s tollway journal ship`", name, name, folder
                )

    threading.Thread(target=ship_each, name="ship", daemon=True).start()


def ship(settings: Settings) -> int:
    """The exit status: 0 when nothing is left. StartProblem: another process has the folder, or there is no collector."""
    if settings.collector_url is None:
        raise StartProblem("TOLLWAY_COLLECTOR_URL is not set: with the collector embedded, `tollway serve` ships what is left")
    # A supervisor that serves from this folder asks for what lay there before it had workers, and nobody else uses that.
    is_supervised = holder(settings.data) == os.getppid()
    with contextlib.nullcontext() if is_supervised else locked(settings.data):
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
