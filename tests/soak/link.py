"""The edge and its collector over a bad link: replies lost and requests doubled, no collector at all, a slow one."""

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.collector_database import query, records
from tests.e2e.conftest import providers_toml
from tests.e2e.statement import eventually
from tests.link import Link
from tests.load import Seen, Shot, fire, shot
from tests.processes import Account, Collector, Edge, make_account, run
from tests.provider import Provider
from tests.soak.report import Report, percentile

MODEL = "echo/echo-1"
WARM_UP = 40_000


@contextmanager
def _house(seed: int) -> Iterator[tuple[Edge, Link, Collector, Account]]:
    """An edge that reaches its collector only over the link."""
    with tempfile.TemporaryDirectory(prefix="tollway-soak-") as name, Provider() as provider:
        folder = Path(name)
        with (
            Collector(folder / "collector") as collector,
            Link(collector.port, seed) as link,
            Edge(folder / "node", providers_toml(provider), collector=collector, TOLLWAY_COLLECTOR_URL=link.origin) as node,
        ):
            yield node, link, collector, make_account(collector, "payer", "1000000.00")


def _shots(account: Account, numbers: range) -> Iterator[Shot]:
    return (shot(f"link-{number}", account.key, MODEL, stream=False, max_tokens=100) for number in numbers)


def _compare(report: Report, collector: Collector, account: Account, seen: list[Seen]) -> None:
    """Each answered request is charged once, at the cost that its caller was told."""
    told = {each.gen_id: each.cost_nano for each in seen if each.is_whole}
    kept = records(collector, account.name)
    ((spent_nano,),) = query(collector, "SELECT spent_nano FROM accounts WHERE account = ?", account.name)
    assert {record.gen_id: record.cost_nano for record in kept} == told
    assert spent_nano == sum(cost_nano or 0 for cost_nano in told.values())
    run(collector, "verify")
    report.say("answers, records, charges", (len(told), len(kept), len(kept)))


def _stored(collector: Collector, account: Account) -> int:
    ((count,),) = query(collector, "SELECT COUNT(*) FROM records WHERE account = ?", account.name)
    return int(count)


def lossy(report: Report, seed: int, count: int) -> None:
    """`count` records while the link loses 30 % of replies and doubles 30 % of requests."""
    with _house(seed) as (node, link, collector, account):
        seen = asyncio.run(fire(node.port, _shots(account, range(10**8, 10**8 + min(2000, count))), 64))
        link.lose = link.double = 0.3
        refused = 0
        while len(seen) < count:
            first = len(seen) + refused
            found = asyncio.run(fire(node.port, _shots(account, range(first, first + count - len(seen))), 16))
            seen += [each for each in found if each.is_whole]
            refused += sum(not each.is_whole for each in found)
        report.say("answered whole, refused for want of verified credit", (len(seen), refused))
        eventually(lambda: _stored(collector, account), lambda stored: stored >= count, 600.0)
        report.say("batches sent, replies lost, requests doubled", (link.calls["/node/v1/ingest"], link.lost, link.doubled))
        _compare(report, collector, account, seen)


async def _steadily(port: int, account: Account, rate: int, seconds: float) -> list[Seen]:
    """`rate` requests a second for so long, each at its own time."""
    seen: list[Seen] = []
    started_s = time.monotonic()

    def timely(lane: int) -> Iterator[Shot]:
        number = lane
        while time.monotonic() - started_s < seconds:
            yield shot(f"link-{number}", account.key, MODEL, stream=False, max_tokens=100)
            number += 10

    async def lane(first: int) -> None:
        shots = timely(first)
        for turn, each in enumerate(shots):
            due_s = started_s + (turn * 10 + first) / rate
            await asyncio.sleep(max(due_s - time.monotonic(), 0.0))
            seen.extend(await fire(port, [each], 1))

    async with asyncio.TaskGroup() as group:
        for first in range(10):
            group.create_task(lane(first))
    return seen


def outage(report: Report, seed: int, count: int) -> None:
    """The collector away for `count` seconds at 50 requests a second; then how fast the backlog drains.

    A lease covers twice the spend of the last 30 s, so a node that is to bridge ten minutes must have been ten times busier.
    """
    with _house(seed) as (node, link, collector, account):
        warm = asyncio.run(fire(node.port, _shots(account, range(10**8, 10**8 + WARM_UP)), 50))
        link.is_cut = True
        seen = asyncio.run(_steadily(node.port, account, 50, count))
        whole = sum(each.is_whole for each in warm + seen)
        before = _stored(collector, account)
        report.say("requests during the outage, answered, refused", (len(seen), whole - len(warm), len(seen) - whole + len(warm)))
        report.say("records waiting at the edge", whole - before)
        link.is_cut = False
        first = eventually(lambda: _stored(collector, account), lambda stored: stored > before, 120.0)
        started_s = time.monotonic()
        eventually(lambda: _stored(collector, account), lambda stored: stored >= whole, 120.0)
        seconds = time.monotonic() - started_s
        report.say("records drained per second", round((whole - first) / seconds) if seconds else "all in the first look")
        _compare(report, collector, account, warm + seen)


def warm_path(report: Report, seed: int, count: int) -> None:
    """`count` requests without and with 150 ms on the link: what a slow collector adds, and how often it was asked."""
    dice = random.Random(seed)
    with _house(seed) as (node, link, collector, account):
        seen = asyncio.run(fire(node.port, _shots(account, range(10**8, 10**8 + 2000)), 4))
        seconds: dict[float, list[float]] = {0.0: [], 0.15: []}
        numbers = iter(range(0, 10**7, 500))
        calls_before = link.calls["/node/v1/acquire"]
        for _ in range(max(count // 500, 1)):
            for delay_s in dice.sample((0.0, 0.15), 2):
                link.delay_s = delay_s
                first = next(numbers)
                round_seen = asyncio.run(fire(node.port, _shots(account, range(first, first + 500)), 1))
                assert all(each.is_whole for each in round_seen)
                seconds[delay_s] += [each.seconds for each in round_seen]
                seen += round_seen
        for share in (0.5, 0.99, 1.0):
            near, far = (percentile(values, share) * 1000 for values in seconds.values())
            report.say(
                f"p{share * 100:g} in ms without delay, with 150 ms, added", (round(near, 3), round(far, 3), round(far - near, 3))
            )
        report.say("calls of the collector for credit, none of them waited for", link.calls["/node/v1/acquire"] - calls_before)
        assert max(seconds[0.15]) < 0.15, "a request waited for the collector"
        whole = len(seen)
        eventually(lambda: _stored(collector, account), lambda stored: stored >= whole, 60.0)
        _compare(report, collector, account, seen)
