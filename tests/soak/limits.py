"""Limits over real processes: three edges, their callers, one of them cut off; and permits, a million times."""

import asyncio
import random
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edge.limits.permits import PermitPool
from tests.edge.limits.test_limits import permits_walk
from tests.link import Link
from tests.load import fire, shot
from tests.processes import Account, Collector, Edge, make_account, run
from tests.soak.report import Report

EDGES = 3
CALLERS = 200
LIMIT = 600
MODEL = "echo/echo-1"


class House:
    """`admitted` and `refused` are moments, in seconds of the monotonic clock."""

    def __init__(self, edges: list[Edge], links: list[Link], account: Account) -> None:
        self.edges, self.links, self.account = edges, links, account
        self.admitted: list[float] = []
        self.refused: list[float] = []
        self.others: list[int] = []

    async def call(self, per_minute: float, seconds: float, callers: int, dice: random.Random) -> None:
        """`callers` together ask `per_minute` times, spread over the edges, Poisson."""
        until_s = time.monotonic() + seconds
        pause = callers * 60.0 / per_minute
        self.admitted, self.refused, self.others = [], [], []

        async def caller(number: int) -> None:
            port = self.edges[number % len(self.edges)].port
            own = random.Random(number + dice.randrange(10**6))
            while True:
                asks_s = time.monotonic() + own.expovariate(1.0) * pause
                await asyncio.sleep(min(asks_s, until_s) - time.monotonic())
                if asks_s >= until_s:
                    return
                (seen,) = await fire(
                    port, [shot(f"limit-{number}", self.account.key, MODEL, stream=number % 4 == 0, max_tokens=8)], 1
                )
                at = {200: self.admitted, 429: self.refused}.get(seen.status)
                if at is None:
                    self.others.append(seen.status)
                else:
                    at.append(time.monotonic())

        async with asyncio.TaskGroup() as group:
            for number in range(callers):
                group.create_task(caller(number))

    def worst(self) -> int:
        """The most that was admitted in any 60 s."""
        inside: deque[float] = deque()
        worst = 0
        for at_s in sorted(self.admitted):
            inside.append(at_s)
            while inside[0] <= at_s - 60.0:
                inside.popleft()
            worst = max(worst, len(inside))
        return worst


@contextmanager
def three_edges(seed: int, *, limit: int = LIMIT, hard: bool = False, edges: int = EDGES) -> Iterator[House]:
    """Edges that reach their collector over links of their own; an account whose key is limited."""
    with tempfile.TemporaryDirectory(prefix="tollway-limits-") as name, ExitStack() as stack:
        folder = Path(name)
        collector = stack.enter_context(Collector(folder / "collector"))
        account = make_account(collector, "payer", "1000.00")
        extra = ("--hard",) if hard else ()
        run(collector, "limits", "set", "--key", account.key_id, "--requests-per-minute", str(limit), *extra)
        links = [stack.enter_context(Link(collector.port, seed + number)) for number in range(edges)]
        nodes = [
            stack.enter_context(Edge(folder / f"e{number}", "", collector=collector, TOLLWAY_COLLECTOR_URL=link.origin))
            for number, link in enumerate(links)
        ]
        yield House(nodes, links, account)


def soak(report: Report, seed: int, count: int) -> None:
    """`count` seconds at three times the limit, then at 0.8 of it; then at three times with one edge cut off after a third."""
    dice = random.Random(seed)
    with three_edges(seed) as house:
        asyncio.run(house.call(3 * LIMIT, count, CALLERS, dice))
        served = len(house.admitted) / count * 60 / LIMIT
        report.say("3 x the limit: served, worst minute (of the limit)", (round(served, 3), round(house.worst() / LIMIT, 3)))
        assert not house.others, house.others
        assert house.worst() <= 1.1 * LIMIT
        assert served >= 0.95
        asyncio.run(asyncio.sleep(61))
        asyncio.run(house.call(0.8 * LIMIT, count, CALLERS, dice))
        refused = len(house.refused) / max(len(house.refused) + len(house.admitted), 1)
        report.say("0.8 x the limit: refused, worst minute", (round(refused, 4), round(house.worst() / LIMIT, 3)))
        assert refused <= 0.05

        async def with_partition() -> None:
            async def cut() -> None:
                await asyncio.sleep(count / 3)
                house.links[0].is_cut = True

            async with asyncio.TaskGroup() as group:
                group.create_task(cut())
                group.create_task(house.call(3 * LIMIT, count, CALLERS, dice))

        asyncio.run(asyncio.sleep(61))
        asyncio.run(with_partition())
        served = len(house.admitted) / count * 60 / LIMIT
        report.say("one of three cut off: served, worst minute", (round(served, 3), round(house.worst() / LIMIT, 3)))
        assert house.worst() <= (1.1 + 1 / EDGES) * LIMIT
        assert served >= 0.95


def permits(report: Report, seed: int, count: int) -> None:
    """`count` random admissions, ends, crashes and restarts."""
    assert permits_walk(count, seed, PermitPool) == 0
    report.say("steps; permits held were requests running", count)
