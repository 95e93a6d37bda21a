"""The collector away for fourteen minutes: who is carried through it, and who is told the truth. Hours pass in a moment here."""

import asyncio
import random

import pytest

from edge.collector_client.session import CollectorSession
from edge.credit.credit import Credit
from edge.tasks import Tasks
from tests.collectors import ScriptedCollector
from tests.patience import PATIENCE_S
from usage.protocol import Acquire, Batch, Boot

pytestmark = pytest.mark.anyio
DOLLAR = 1_000_000_000
COST_NANO = 100_000
HOLD_NANO = 1_000_000
OUTAGE_S = 14 * 60


class Purse:
    """One account with steady traffic: `rate` requests a second, at random moments."""

    def __init__(self, name: str, rate: float, dice: random.Random) -> None:
        self.name, self.rate, self._dice = name, rate, dice
        self.next_s = dice.expovariate(rate)
        self.served = self.refused = 0
        self.reasons: set[str] = set()

    def due(self, now_s: float) -> int:
        """How many requests come until now."""
        count = 0
        while self.next_s <= now_s:
            self.next_s += self._dice.expovariate(self.rate)
            count += 1
        return count


class House:
    """One edge's credit on a clock of its own, as `Credit.run` moves it."""

    def __init__(self, purses: list[Purse], amount_nano: int) -> None:
        self.now_s = 0.0
        self.collector = ScriptedCollector()
        in_memory = self.collector.in_memory
        self.policies = {}
        for purse in purses:
            in_memory.open_account(purse.name, amount_nano)
            self.policies[purse.name] = in_memory.add_key(f"d-{purse.name}", purse.name, f"k-{purse.name}")
        self.purses = purses
        self.epoch = in_memory.boot(Boot("n1", "b")).epoch
        self.credit = Credit(CollectorSession("n1", self.epoch, self.collector), Tasks(), lambda: self.now_s, wait_s=PATIENCE_S)

    async def live(self, seconds: float, cost_nano: int = COST_NANO, hold_nano: int = HOLD_NANO) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s += 1.0
            self.collector.in_memory.clock_ms += 1000
            for purse in self.purses:
                for _ in range(purse.due(self.now_s)):
                    await self.request(purse, cost_nano, hold_nano)
            await self.credit.maintain()
            if int(self.now_s) % 2 == 0:
                await self.credit.poll()
            renew = self.credit.renewals()
            if renew and self.collector.is_reachable:
                self.credit.on_ack(await self.collector.ingest(Batch("n1", self.epoch, (), renew)))
            for _ in range(4):
                await asyncio.sleep(0)

    async def request(self, purse: Purse, cost_nano: int, hold_nano: int) -> None:
        policy = self.policies[purse.name]
        if not self.credit.hold(purse.name, hold_nano):
            answer = await self.credit.hold_cold(policy, hold_nano, hold_nano)
            if answer.held_nano is None:
                assert not answer.exhausted_by
                purse.refused += 1
                purse.reasons.add(answer.reason)
                return
        purse.served += 1
        self.credit.settle(purse.name, hold_nano, cost_nano)


@pytest.mark.parametrize("hold_nano", [COST_NANO, HOLD_NANO])
@pytest.mark.parametrize("seed", range(3))
async def test_accounts_that_can_afford_it_are_carried_through_an_outage(seed: int, hold_nano: int) -> None:
    """0.1, 1 and 20 requests a second, for some minutes with the collector and fourteen without: each request is served."""
    dice = random.Random(seed)
    house = House([Purse(f"a{rate}", rate, dice) for rate in (0.1, 1.0, 20.0)], 1000 * DOLLAR)
    await house.live(dice.randint(300, 900), hold_nano=hold_nano)
    calls = len(house.collector.of(Acquire))
    house.collector.is_reachable = False
    await house.live(OUTAGE_S, hold_nano=hold_nano)
    assert {purse.name: purse.refused for purse in house.purses} == {purse.name: 0 for purse in house.purses}
    assert calls < 100
    assert all(purse.served > OUTAGE_S * purse.rate for purse in house.purses)


async def test_account_that_cannot_afford_it_is_refused_for_the_true_reason() -> None:
    """Half of a small balance is spent without the collector; then it is its absence that is named, not a lack of credit."""
    house = House([Purse("small", 1.0, random.Random(1))], 300 * COST_NANO)
    await house.live(60, hold_nano=COST_NANO)
    house.collector.is_reachable = False
    await house.live(OUTAGE_S, hold_nano=COST_NANO)
    (purse,) = house.purses
    assert purse.served > 100
    assert purse.refused > 0
    assert all("the collector cannot be reached" in reason for reason in purse.reasons)
    house.collector.is_reachable = True
    before = purse.served
    await house.live(30, hold_nano=COST_NANO)
    assert purse.served > before


async def test_lease_is_a_share_of_the_balance(caplog: pytest.LogCaptureFixture) -> None:
    """However much traffic wants, the background does not take more than the share, so a node that dies strands no more."""
    house = House([Purse("small", 5.0, random.Random(1))], 2_000 * COST_NANO)
    await house.live(60, hold_nano=COST_NANO)
    (row,) = house.collector.in_memory.tables.leases.values()
    account = house.collector.in_memory.tables.accounts["small"]
    assert house.credit.free()["small"] <= (account.available_nano + row.granted_nano) // 2


async def test_idle_lease_is_kept_while_the_collector_is_away() -> None:
    """Nobody else could have it, and here it may be wanted again."""
    house = House([Purse("a", 1.0, random.Random(1))], 1000 * DOLLAR)
    await house.live(60)
    house.collector.is_reachable = False
    house.purses[0].rate, house.purses[0].next_s = 0.001, house.now_s + 800
    await house.live(700)
    assert house.credit.hold("a", HOLD_NANO)
