"""The end of a balance, on three nodes at once: credit for 37 requests serves 37 and never 38; tokens never go below zero."""

import asyncio
import json
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.answers import Delay, completion, respond
from tests.collector_database import query, records
from tests.e2e.conftest import providers_toml
from tests.load import Seen, Shot, fire, shot
from tests.processes import Account, Collector, Edge, make_account, run
from tests.provider import Provider
from tests.soak.report import Report

NODES = 3
PAID_FOR = 37
AT_ONCE = 200
CONVERGED_S_MAX = 60.0
TABLE = """
[providers.mock.models.flat]
input = "0"
output = "0"
request = "0.01"

[providers.mock.models.tokens]
input = "1"
output = "10"
context_tokens = 100_000
max_output_tokens = 1000
"""


class House:
    """Three edges and their collector; `fire` sends shots to all of them at once."""

    def __init__(self, stack: ExitStack, folder: Path, provider: Provider) -> None:
        self.collector_client = stack.enter_context(Collector(folder / "collector"))
        table = providers_toml(provider).partition("[providers.mock.models]")[0] + TABLE
        self.edges = [
            stack.enter_context(Edge(folder / f"node-{number}", table, collector=self.collector_client))
            for number in range(NODES)
        ]
        self._number = 0

    def fire(self, account: Account, model: str, count: int) -> list[Seen]:
        async def all_at_once() -> list[Seen]:
            lanes = [self._shots(account, model, (count + NODES - 1 - lane) // NODES) for lane in range(NODES)]
            loads = [fire(edge.port, lane, max(len(lane), 1)) for edge, lane in zip(self.edges, lanes, strict=True)]
            return [seen for found in await asyncio.gather(*loads) for seen in found]

        return asyncio.run(all_at_once())

    def _shots(self, account: Account, model: str, count: int) -> list[Shot]:
        self._number += count
        first = self._number - count
        return [shot(f"cent-{first + each}", account.key, f"mock/{model}", stream=False) for each in range(count)]

    def balance_nano(self, account: Account) -> tuple[int, int, int]:
        """(available, topped up, spent)."""
        sql = "SELECT available_nano, topped_nano, spent_nano FROM accounts WHERE account = ?"
        (row,) = query(self.collector_client, sql, account.name)
        assert row[0] >= 0
        assert row[2] <= row[1]
        return row[0], row[1], row[2]


def soak(report: Report, seed: int, count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tollway-soak-") as name, Provider() as provider, ExitStack() as stack:
        provider.script("flat", (Delay(0.02), *respond(completion())))
        provider.script("tokens", (Delay(0.02), *respond(completion(prompt=60, tokens=7))))
        house = House(stack, Path(name), provider)
        for number in range(count):
            _spend_whole(report, house, make_account(house.collector_client, f"flat-{seed}-{number}", "0.37"), provider)
        for number in range(max(count // 5, 1)):
            _spend_tokens(report, house, make_account(house.collector_client, f"tokens-{seed}-{number}", "0.05"))
        run(house.collector_client, "verify")


def _spend_whole(report: Report, house: House, account: Account, provider: Provider) -> None:
    """Hold and cost are the same: 37 succeed once the leases have converged, never 38."""
    provider.forget("flat")
    first = house.fire(account, "flat", AT_ONCE)
    seen, started_s = list(first), time.monotonic()
    while sum(each.is_whole for each in seen) < PAID_FOR and time.monotonic() - started_s < CONVERGED_S_MAX:
        time.sleep(0.5)
        seen += house.fire(account, "flat", 6)
        house.balance_nano(account)
    converged_s = time.monotonic() - started_s
    seen += house.fire(account, "flat", 30)
    served = sum(each.is_whole for each in seen)
    statuses = Counter(each.status for each in seen)
    assert served == PAID_FOR, (served, statuses)
    assert len(provider.requests["flat"]) == PAID_FOR
    assert set(statuses) <= {200, 402, 503}, statuses
    at_once = sum(each.is_whole for each in first)
    report.say(
        "of 37: served at once, in the end; statuses; seconds to converge",
        (at_once, served, dict(statuses), round(converged_s, 1)),
    )


def _spend_tokens(report: Report, house: House, account: Account) -> None:
    """Holds are larger than costs: never below zero, and the refusal says how many tokens the rest would buy."""
    seen = house.fire(account, "tokens", AT_ONCE)
    ends_s = time.monotonic() + CONVERGED_S_MAX
    while time.monotonic() < ends_s:
        found = house.fire(account, "tokens", 60)
        seen += found
        house.balance_nano(account)
        if all(each.status == 402 for each in found):
            break
        time.sleep(0.2)
    assert {each.status for each in seen} <= {200, 402, 503}
    refusals = [json.loads(each.body)["error"] for each in seen if each.status == 402]
    assert refusals
    assert all(isinstance(refusal["metadata"]["affordable_tokens"], int) for refusal in refusals)
    served = sum(each.is_whole for each in seen)
    ends_s = time.monotonic() + CONVERGED_S_MAX
    while len(records(house.collector_client, account.name)) < served and time.monotonic() < ends_s:
        time.sleep(0.2)
    _, topped, spent = house.balance_nano(account)
    assert spent == sum(each.cost_nano or 0 for each in seen if each.is_whole)
    report.say("token prices: served, nano-dollars left of topped up", (served, topped - spent, topped))
    report.say("last refusal", refusals[-1]["message"])
