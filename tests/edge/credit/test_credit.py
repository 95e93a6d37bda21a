"""Credit at the edge: who waits, who is asked, and how often; against a scripted collector."""

import asyncio

import pytest

from edge.auth.key_cache import AT_ONCE_MAX
from edge.auth.policies import LIFE_S, MISSING_MAX, MISSING_S, REFRESH_S
from edge.collector_client.session import CollectorSession
from edge.credit.credit import Credit
from edge.credit.wallet import IDLE_S, Wallet
from edge.tasks import Tasks
from tests.collectors import ScriptedCollector
from tests.edge.generations import record
from tests.patience import PATIENCE_S
from usage.protocol import Ack, Acquire, Balance, Batch, Boot, Granted, Policy, Refused, Return, Unreachable

pytestmark = pytest.mark.anyio
DOLLAR = 1_000_000_000


class OneNode:
    """One edge's credit, its collector and its clock."""

    def __init__(self, amount_nano: int = 10 * DOLLAR, limit_nano: int | None = None) -> None:
        self.now_s = 1000.0
        self.collector = ScriptedCollector()
        self.in_memory = self.collector.in_memory
        self.in_memory.open_account("acme", amount_nano)
        self.policy: Policy = self.in_memory.add_key("d1", "acme", "k1", limit_nano)
        self.purse = self.policy.purse
        self.tasks = Tasks()
        self.fenced = 0
        self.credit = self.begin("b1")

    def begin(self, boot_id: str, wait_s: float = PATIENCE_S) -> Credit:
        self.epoch = self.in_memory.boot(Boot("n1", boot_id)).epoch
        return Credit(
            CollectorSession("n1", self.epoch, self.collector, self._fence), self.tasks, lambda: self.now_s, wait_s=wait_s
        )

    def _fence(self) -> None:
        self.fenced += 1

    async def settled(self) -> None:
        """Let everything in the background run until nothing is left but the tender."""
        for _ in range(40):
            await asyncio.sleep(0)


def open_nano(node: OneNode) -> int:
    """What the collector believes to be in leases."""
    return sum(row.open_nano for row in node.in_memory.tables.leases.values())


async def end(node: OneNode) -> None:
    await node.credit.drain()
    await node.tasks.drain(1.0)


async def test_hold_warm_makes_no_call() -> None:
    """Once a lease is there, holds and settlements ask nobody."""
    node = OneNode()
    answer = await node.credit.hold_cold(node.policy, 1000, 10)
    assert answer.held_nano == 1000
    node.credit.settle(node.purse, 1000, 10)
    await node.credit.hold_cold(node.policy, DOLLAR, 10)
    node.credit.settle(node.purse, DOLLAR, 10)
    await node.settled()
    calls = node.credit.calls_total
    for _ in range(1000):
        assert node.credit.hold(node.purse, 1000)
        node.credit.settle(node.purse, 1000, 1)
    await node.settled()
    assert node.credit.calls_total == calls
    await end(node)


async def test_hold_cold_is_coalesced() -> None:
    """A hundred first requests of an account wait for one call."""
    node = OneNode()
    answers = await asyncio.gather(*(node.credit.hold_cold(node.policy, 1000, 10) for _ in range(100)))
    assert all(answer.held_nano == 1000 for answer in answers)
    assert len(node.collector.of(Acquire)) == 1
    await end(node)


async def test_hold_cold_gives_up_after_its_wait() -> None:
    """When the collector hangs, the caller hears `unverifiable` after its wait, and the call fills the wallet later."""
    node = OneNode()
    node.credit = node.begin("b2", wait_s=0.1)
    node.collector.gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    answer = await node.credit.hold_cold(node.policy, 1000, 10)
    assert answer.held_nano is None
    assert not answer.exhausted_by
    assert loop.time() - began_s >= 0.09
    node.collector.gate.set()
    await node.settled()
    assert node.credit.hold(node.purse, 1000)
    await end(node)


async def test_collector_unreachable_is_unverifiable_not_exhausted() -> None:
    """Silence never says that there is no money."""
    node = OneNode()
    node.collector.is_reachable = False
    answer = await node.credit.hold_cold(node.policy, 1000, 10)
    assert answer.held_nano is None
    assert answer.exhausted_by == ""
    with pytest.raises(Unreachable):
        await node.credit.look_up("d1")
    await end(node)


async def test_account_exhausted_says_what_is_left() -> None:
    """The refusal carries what could still be paid for, and who is out of money."""
    node = OneNode(amount_nano=500)
    answer = await node.credit.hold_cold(node.policy, 1000, 800)
    assert (answer.held_nano, answer.exhausted_by, answer.available_nano) == (None, "credits", 500)
    node.in_memory.open_account("acme", DOLLAR)
    node.credit.on_ack(Ack(0, balances=(Balance("acme", DOLLAR),)))
    assert (await node.credit.hold_cold(node.policy, 1000, 800)).held_nano == 1000
    await end(node)


async def test_key_limit_exhausted_is_told_apart() -> None:
    """A key with a limit has a purse of its own, and its end is not the account's."""
    node = OneNode(limit_nano=500)
    assert node.purse == "acme/k1"
    answer = await node.credit.hold_cold(node.policy, 1000, 800)
    assert (answer.exhausted_by, answer.available_nano) == ("key_limit", 500)
    assert (await node.credit.hold_cold(node.policy, 400, 400)).held_nano == 400
    await end(node)


async def test_hold_cold_takes_what_the_rest_affords() -> None:
    """Between the least and the full amount, what is left is held."""
    node = OneNode(amount_nano=1000)
    answer = await node.credit.hold_cold(node.policy, 5000, 100)
    assert answer.held_nano is not None
    assert 100 <= answer.held_nano <= 1000
    await end(node)


async def test_reply_lost_is_asked_again_under_the_same_id() -> None:
    """The grant whose answer was lost is found again, not granted twice."""
    node = OneNode()
    node.collector.replies_lost = 1
    first = await node.credit.hold_cold(node.policy, 1000, 10)
    assert first.held_nano is None
    node.now_s += 1
    second = await node.credit.hold_cold(node.policy, 1000, 10)
    assert second.held_nano == 1000
    ids = [message.grant_id for message in node.collector.of(Acquire)]
    assert len(ids) == 2
    assert len(set(ids)) == 1
    assert open_nano(node) == node.credit.free()[node.purse] + 1000
    await end(node)


async def test_grant_repeated_by_an_acknowledgement_is_applied_once() -> None:
    """The same grant by two ways is one grant."""
    node = OneNode()
    await node.credit.hold_cold(node.policy, 1000, 10)
    before = node.credit.free()
    [message] = node.collector.of(Acquire)
    node.credit.on_ack(Ack(0, leases=(Granted("acme", message.grant_id, 1000),)))
    assert node.credit.free() == before
    await end(node)


async def test_grant_of_the_ask_before_does_not_answer_the_open_one() -> None:
    """A repeated grant that comes late adds nothing, and what is asked for now is still to come."""
    wallet = Wallet("acme", "d1", 0.0)
    granted = Granted("acme", "g1", 1000)
    wallet.next_ask("g1", 1000, 1, 0.0)
    assert wallet.grant(granted, 0.0)
    wallet.next_ask("g2", 1000, 1, 1.0)
    assert not wallet.grant(granted, 1.0)
    assert wallet.ask is not None
    assert (wallet.ask.grant_id, wallet.lease.granted_nano) == ("g2", 1000)


async def test_lease_expired_admits_nothing_and_goes_back() -> None:
    """Admission counts from the moment of the request; what an expired lease holds returns before it is granted anew."""
    node = OneNode()
    await node.credit.hold_cold(node.policy, 1000, 10)
    node.credit.settle(node.purse, 1000, 10)
    node.now_s += 901
    node.collector.is_reachable = False
    assert not node.credit.hold(node.purse, 10)
    await node.settled()
    node.now_s += 100
    node.collector.is_reachable = True
    assert (await node.credit.hold_cold(node.policy, 1000, 10)).held_nano == 1000
    assert node.collector.of(Return)
    assert open_nano(node) == node.credit.free()[node.purse] + 1000 + 10
    await end(node)


async def test_lease_low_is_renewed_in_the_background() -> None:
    """At 30 % left a call of its own goes out when no batch is due, and nobody waits for it."""
    node = OneNode()
    await node.credit.hold_cold(node.policy, 1000, 10)
    assert node.credit.hold(node.purse, 1000)
    assert not node.credit.hold(node.purse, 1000)
    await node.settled()
    assert node.credit.hold(node.purse, 1000)
    await end(node)


async def test_renewal_rides_on_a_batch_that_is_due() -> None:
    """While batches flow, a low lease asks on the next one and makes no call."""
    node = OneNode()
    await node.credit.hold_cold(node.policy, 1000, 10)
    assert node.credit.renewals() == ()
    calls = node.credit.calls_total
    assert node.credit.hold(node.purse, 1000)
    await node.settled()
    renewals = node.credit.renewals()
    assert [message.digest for message in renewals] == ["d1"]
    ack = await node.collector.ingest(Batch("n1", node.epoch, (), renewals))
    node.credit.on_ack(ack)
    assert node.credit.calls_total == calls
    assert node.credit.hold(node.purse, 1000)
    await end(node)


async def test_renewal_lost_with_its_batch_is_called_for() -> None:
    """A batch that never came back does not leave the wallet empty for long."""
    node = OneNode()
    await node.credit.hold_cold(node.policy, 1000, 10)
    node.credit.renewals()
    assert node.credit.hold(node.purse, 1000)
    assert node.credit.renewals()
    assert (await node.credit.hold_cold(node.policy, 1000, 10)).held_nano == 1000
    await end(node)


async def test_lease_idle_goes_back() -> None:
    """After 120 s without a hold, free credit returns; a lost answer is repeated with the same id."""
    node = OneNode()
    await node.credit.hold_cold(node.policy, 1000, 10)
    node.credit.settle(node.purse, 1000, 400)
    node.now_s += IDLE_S + 1
    node.collector.replies_lost = 1
    await node.credit.maintain()
    assert node.credit.free()[node.purse] == 0
    await node.credit.maintain()
    await node.credit.maintain()
    ids = [message.return_id for message in node.collector.of(Return)]
    assert len(ids) == 2
    assert len(set(ids)) == 1
    assert open_nano(node) == 400
    await end(node)


async def test_drain_returns_what_is_free() -> None:
    """After drain the collector has everything but what was spent, and nothing more is admitted."""
    node = OneNode()
    await node.credit.hold_cold(node.policy, 1000, 10)
    node.credit.settle(node.purse, 1000, 400)
    assert await node.credit.drain()
    assert open_nano(node) == 400
    assert (await node.credit.hold_cold(node.policy, 1000, 10)).held_nano is None
    await end(node)


async def test_process_fenced_admits_nothing() -> None:
    """A newer process of the node ends this one's credit; its owner is told once."""
    node = OneNode()
    await node.credit.hold_cold(node.policy, 1000, 10)
    node.in_memory.boot(Boot("n1", "b2"))
    answer = await node.credit.hold_cold(node.policy, DOLLAR, DOLLAR)
    assert answer.held_nano is None
    assert node.fenced == 1
    assert node.credit.is_fenced
    assert not node.credit.hold(node.purse, 1)
    await end(node)


async def test_refusal_of_the_node_is_unverifiable() -> None:
    """A revoked node token is not the customer's fault."""
    node = OneNode()
    node.collector.refusal = Refused("bad_node_token", "who are you")
    answer = await node.credit.hold_cold(node.policy, 1000, 10)
    assert (answer.held_nano, answer.exhausted_by) == (None, "")
    await end(node)


async def test_revocation_of_the_node_is_told_once_and_until_a_poll_is_answered() -> None:
    """By whatever is refused first; what runs may go on with what it holds."""
    node = OneNode()
    await node.credit.hold_cold(node.policy, 1000, 10)
    node.collector.refusal = Refused("revoked", "node n1 was revoked")
    for _ in range(2):
        await node.credit.poll()
    assert (node.credit.revoked, node.fenced, node.credit.is_fenced) == ("node n1 was revoked", 1, False)
    node.credit.settle(node.purse, 1000, 400)
    node.collector.refusal = Refused("bad_node_token", "who are you")  # a collector that was restored knows nobody
    await node.credit.poll()
    assert node.credit.revoked
    node.collector.refusal = None
    await node.credit.poll()
    assert (node.credit.revoked, node.fenced) == ("", 2)
    await end(node)


async def test_key_known_is_found_without_asking() -> None:
    """One look-up per key, shared by all who wait for it; then none until it is refreshed."""
    node = OneNode()
    assert node.credit.find("d1") is None
    found = await asyncio.gather(*(node.credit.look_up("d1") for _ in range(20)))
    assert set(found) == {node.policy}
    assert node.credit.find("d1") == node.policy
    assert len(node.collector.of(Acquire)) == 1
    node.now_s += REFRESH_S + 1
    assert node.credit.find("d1") == node.policy
    assert node.credit.find("d1") == node.policy
    await node.settled()
    assert len(node.collector.of(Acquire)) == 2
    await end(node)


async def test_key_revoked_is_forgotten_at_once() -> None:
    """The acknowledgement's word is enough, and after its life a policy is not used at all."""
    node = OneNode()
    await node.credit.look_up("d1")
    node.credit.on_ack(Ack(0, revoked=("d1",)))
    assert node.credit.find("d1") is None
    await node.credit.look_up("d1")
    node.collector.is_reachable = False
    node.now_s += LIFE_S + 1
    assert node.credit.find("d1") is None
    await end(node)


async def test_keys_invented_cost_bounded_memory_and_calls() -> None:
    """A flood of keys that do not exist is asked for once each, few at a time, and forgotten oldest first."""
    node = OneNode()
    assert await node.credit.look_up("nobody") is None
    assert await node.credit.look_up("nobody") is None
    assert len(node.collector.of(Acquire)) == 1
    node.now_s += MISSING_S + 1
    assert await node.credit.look_up("nobody") is None
    assert len(node.collector.of(Acquire)) == 2
    policies = node.credit._key_cache.policies
    for number in range(MISSING_MAX + 500):
        policies.learn(f"x{number}", None, node.now_s)
    assert len(policies._missing) == MISSING_MAX
    node.collector.gate = asyncio.Event()
    node.collector.seen.clear()
    floods = [asyncio.ensure_future(node.credit.look_up(f"y{number}")) for number in range(1200)]
    await node.settled()
    assert len(node.collector.seen) == AT_ONCE_MAX
    node.collector.gate.set()
    results = await asyncio.gather(*floods, return_exceptions=True)
    assert sum(isinstance(result, Unreachable) for result in results) == 200
    await end(node)


async def test_amount_of_nothing_needs_no_credit() -> None:
    """A free model is served without a lease."""
    node = OneNode(amount_nano=0)
    assert node.credit.hold(node.purse, 0)
    assert (await node.credit.hold_cold(node.policy, 0, 0)).held_nano == 0
    node.credit.settle(node.purse, 0, 0)
    assert node.collector.seen == []
    await end(node)


async def test_last_cent_is_spent_once_and_wholly() -> None:
    """Credit for exactly 37 requests of a fixed price, 200 at once over three nodes: 37, when leases have converged."""
    node = OneNode(amount_nano=37 * 1000)
    epochs = {name: node.in_memory.boot(Boot(name, "b")).epoch for name in ("e1", "e2", "e3")}
    credits = [
        Credit(
            CollectorSession(name, epoch, node.collector),
            node.tasks,
            lambda: node.now_s,
            pause=lambda _: asyncio.sleep(0),
            wait_s=PATIENCE_S,
        )
        for name, epoch in epochs.items()
    ]
    done = 0
    for _ in range(20):
        answers = await asyncio.gather(*(credit.hold_cold(node.policy, 1000, 1000) for credit in credits for _ in range(67)))
        for at, answer in enumerate(answers):
            if answer.held_nano:
                credits[at // 67].settle(node.purse, 1000, 1000)
                done += 1
        assert done <= 37
        node.now_s += IDLE_S + 1
        for credit in credits:
            await credit.maintain()
    assert done == 37
    for credit in credits:
        await credit.drain()
    await end(node)


async def test_poll_returns_what_is_called_back() -> None:
    """Somebody else is refused: with the next poll what nobody holds here goes back, and what is held stays."""
    node = OneNode(amount_nano=2000)
    other = node.in_memory.boot(Boot("n2", "b")).epoch
    assert (await node.credit.hold_cold(node.policy, 400, 400)).held_nano == 400
    await node.credit.poll()
    assert not node.collector.of(Return)
    rest = node.in_memory.tables.accounts["acme"].available_nano
    refused = node.in_memory.acquire(Acquire("n2", other, "g", "d1", rest + 1, rest + 1))
    assert refused.granted is None
    assert refused.recalled_nano == open_nano(node)
    await node.credit.poll()
    assert open_nano(node) == 400
    assert node.credit.free()[node.purse] == 0
    assert node.in_memory.acquire(Acquire("n2", other, "g", "d1", rest + 1, rest + 1)).granted is not None
    await end(node)


async def test_poll_answered_moves_the_lives_of_leases_and_keys_on() -> None:
    """While the collector says that the epoch is in force, leases and policies do not age; once it is silent they do."""
    node = OneNode()
    await node.credit.look_up("d1")
    await node.credit.hold_cold(node.policy, 1000, 10)
    node.credit.settle(node.purse, 1000, 0)
    for _ in range(5):
        node.now_s += 600
        await node.credit.poll()
        assert node.credit.hold(node.purse, 100)
        assert node.credit.find("d1") == node.policy
    node.collector.is_reachable = False
    node.now_s += LIFE_S - 10
    await node.credit.poll()
    assert node.credit.problem
    assert node.credit.hold(node.purse, 100)
    assert node.credit.find("d1") == node.policy
    node.now_s += 10
    assert not node.credit.hold(node.purse, 100)
    assert node.credit.find("d1") is None
    await end(node)


async def test_poll_of_an_old_epoch_moves_no_life_on() -> None:
    """A process whose node has begun anew spends no longer than what it was promised."""
    node = OneNode()
    await node.credit.hold_cold(node.policy, 1000, 10)
    node.in_memory.boot(Boot("n1", "b2"))
    node.now_s += 600
    await node.credit.poll()
    node.now_s += 301
    assert not node.credit.hold(node.purse, 10)
    await end(node)


async def test_record_rejected_gives_its_credit_back_to_the_wallet() -> None:
    """What the collector will never charge is free again here, also when the wallet was forgotten; both sides have the same."""
    node = OneNode()
    assert (await node.credit.hold_cold(node.policy, DOLLAR, DOLLAR)).held_nano == DOLLAR
    node.credit.settle(node.purse, DOLLAR, DOLLAR // 2)
    free = node.credit.free()[node.purse]
    rejected = record(1, 1, account=node.purse, purse=node.purse, hold_nano=DOLLAR, cost_nano=DOLLAR // 2)
    node.credit.unsettle([rejected])
    assert node.credit.free()[node.purse] == free + DOLLAR // 2 == open_nano(node)
    beyond = record(2, 2, account=node.purse, purse="other", hold_nano=10, cost_nano=1_000)
    node.credit.unsettle([beyond])
    assert node.credit.free()["other"] == 10
    await end(node)


async def test_key_revoked_is_not_out_of_credit() -> None:
    """The collector refuses a key that may not be used; that says nothing about its account's money."""
    node = OneNode()
    await node.credit.look_up("d1")
    node.in_memory.keys["d1"] = Policy("d1", "k1", "acme", "acme", disabled=True)
    answer = await node.credit.hold_cold(node.policy, 1000, 10)
    assert (answer.held_nano, answer.exhausted_by) == (None, "")
    known = node.credit.find("d1")
    assert known is not None
    assert known.disabled
    await end(node)
