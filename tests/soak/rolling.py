"""Rolling restarts and an upgrade as an operator does them: three machines with two workers each, behind HAProxy as we ship it.

Rule: a hundred streams are open at every moment, calls go on beside them; no stream is cut, no call is refused, and what was
asked is in the books once.
"""

import asyncio
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.answers import Delay, completion, respond
from tests.collector_database import records
from tests.e2e.conftest import providers_toml
from tests.e2e.test_drain import Balancer
from tests.load import Seen, Shot, fire, shot
from tests.processes import Account, Collector, Edge, make_account, run
from tests.provider import Provider
from tests.soak.life import TABLE, stop_patiently, stream_of
from tests.soak.report import Report

MACHINES, WORKERS, STREAMS, CALLERS = 3, 2, 100, 6
SECONDS = (2, 4, 8, 14)
"""Of streams; HAProxy, the edges and the callers' patience (tests.load) allow more."""
LEAVE = {"TOLLWAY_DRAIN_NOTICE_S": "1", "TOLLWAY_DRAIN_GRACE_S": "60"}
UPGRADE_S_MAX = 120.0


def soak(report: Report, seed: int, count: int) -> None:
    """`count` rounds: each machine is restarted, one after another; then one is upgraded in place, by SIGUSR2."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="tollway-soak-") as name, Provider() as provider, ExitStack() as stack:
        provider.script("flat", (Delay(0.02), *respond(completion())))
        provider.script_by("over", stream_of)
        collector = stack.enter_context(Collector(Path(name) / "collector"))
        table = providers_toml(provider).partition("[providers.mock.models]")[0] + TABLE
        env = LEAVE | {"TOLLWAY_WORKERS": str(WORKERS)}
        edges = [Edge(Path(name) / f"node-{n}", table, collector=collector, **env) for n in range(MACHINES)]
        for edge in edges:
            stack.enter_context(edge)
        port = stack.enter_context(Balancer(Path(name), edges, retries=3)).port
        account = make_account(collector, "caller", "10000.00")
        asked = 0
        for _ in range(count):
            seen = asyncio.run(_round(report, edges, port, account, dice))
            asked += len(seen)
            refused = Counter(each.status for each in seen if each.status != 200)
            cut = [each for each in seen if each.status == 200 and not each.is_whole]
            streams = sum(each.shot.name.startswith("stream") for each in seen)
            report.say("streams, calls, refused, cut", (streams, len(seen) - streams, dict(refused), len(cut)))
            assert not refused, [(each.problem, each.body) for each in seen if each.status != 200][:3]
            assert not cut, [(each.shot.name, each.problem, each.body[-200:]) for each in cut][:3]
        until_s = time.monotonic() + 30
        while (kept := len(records(collector, account.name))) < asked and time.monotonic() < until_s:
            time.sleep(0.2)
        run(collector, "verify")
        report.say("asked, in the books", (asked, kept))
        assert kept == asked


async def _round(report: Report, edges: list[Edge], port: int, account: Account, dice: random.Random) -> list[Seen]:
    is_over = False

    def calls() -> Iterator[Shot]:
        while not is_over:
            yield shot("call", account.key, "mock/flat", stream=False)

    def streams() -> Iterator[Shot]:
        while not is_over:
            yield shot(f"stream-{dice.choice(SECONDS)}", account.key, "mock/over", stream=True, max_tokens=900)

    firing = [asyncio.ensure_future(fire(port, calls(), CALLERS)), asyncio.ensure_future(fire(port, streams(), STREAMS))]
    await asyncio.sleep(2.0)
    for edge in edges:
        began_s = time.monotonic()
        status = await asyncio.to_thread(stop_patiently, edge)
        await asyncio.to_thread(edge.start)
        report.say("a machine was restarted: exit status, seconds", (status, round(time.monotonic() - began_s, 1)))
        assert status == 0
        await asyncio.sleep(1.0)
    began_s = time.monotonic()
    upgraded = edges[0].log.count("upgrade: done")
    os.kill(edges[0].pid, signal.SIGUSR2)
    while edges[0].log.count("upgrade: done") == upgraded:
        assert time.monotonic() - began_s < UPGRADE_S_MAX, edges[0].log[-2000:]
        await asyncio.sleep(0.1)
    report.say("a machine was upgraded, seconds", round(time.monotonic() - began_s, 1))
    await asyncio.sleep(2.0)
    is_over = True
    return [seen for found in await asyncio.gather(*firing) for seen in found]
