"""Usage facts: each counts once, is acknowledged gap-free, and one bad record harms no other. Both databases."""

from typing import Any

import msgspec
import pytest

from collector.accounts import keys as account_keys
from collector.accounts.keys import KeyTerms
from collector.ingest.ingest import ingest
from collector.leasing.nodes import accept_gaps
from collector.ledger.audit import verify
from collector.service import Collector
from collector.store.contract import Store
from tests.collector.facts import NOON_MS, Node, absorbed_nano, available_nano, id_of, make_caller, make_fact, spent_nano
from usage.protocol import Acquire, Balance, Close, Refused
from usage.record import Rates, Tokens

pytestmark = pytest.mark.anyio


async def test_fact_counts_once_however_often_it_is_sent(collector: Collector, store: Store) -> None:
    caller, node = await make_caller(collector), await Node(collector).boot()
    await node.acquire(caller, 100_000)
    batch = node.batch([node.fact(seq, caller) for seq in range(1, 11)])
    for _ in range(3):
        ack = await node.link.ingest(batch)
        assert ack.acked_through == 10
        assert ack.balances == (Balance("acme", 900_000),)
    assert spent_nano(store) == 10_000
    assert available_nano(store) == 900_000


async def test_fact_counts_once_under_another_seq_and_epoch(collector: Collector, store: Store) -> None:
    """Recovery that settles a generation again, under a new number, charges nothing: the generation id decides."""
    caller, node = await make_caller(collector), await Node(collector).boot("a")
    await node.link.ingest(node.batch([node.fact(1, caller, gen_id="gen-x")]))
    again = await Node(collector).boot("b")
    ack = await again.link.ingest(again.batch([again.fact(1, caller, 7_000, gen_id="gen-x"), again.fact(2, caller)]))
    assert ack.acked_through == 2
    assert spent_nano(store) == 2_000
    await again.link.ingest(again.batch([again.fact(3, caller, gen_id="gen-y"), again.fact(4, caller, gen_id="gen-y")]))
    assert spent_nano(store) == 3_000


async def test_fact_under_an_acknowledged_seq_but_new_is_charged(collector: Collector, store: Store) -> None:
    """Two processes from one restored snapshot share numbers, not generations: no fact is dropped for its number."""
    caller, node = await make_caller(collector), await Node(collector).boot()
    await node.link.ingest(node.batch([node.fact(1, caller, gen_id="gen-a")]))
    ack = await node.link.ingest(node.batch([node.fact(1, caller, gen_id="gen-b")]))
    assert ack.acked_through == 1
    assert spent_nano(store) == 2_000


async def test_acked_through_stops_at_a_gap_and_jumps_when_it_closes(collector: Collector) -> None:
    caller, node = await make_caller(collector), await Node(collector).boot()
    sent = [([1, 2], 2), ([5], 2), ([7, 5], 2), ([4], 2), ([3], 5), ([6], 7), ([2], 7), ([8], 8)]
    for seqs, acked in sent:
        ack = await node.link.ingest(node.batch([node.fact(seq, caller) for seq in seqs]))
        assert ack.acked_through == acked


async def test_facts_of_an_old_epoch_are_taken_but_bring_no_credit(collector: Collector, store: Store) -> None:
    caller, old = await make_caller(collector), await Node(collector).boot("a")
    await old.acquire(caller, 100_000)
    await Node(collector).boot("b")
    renewal = Acquire("fra-1", old.epoch, "g9", caller.digest, 1_000, 1)
    ack = await old.link.ingest(old.batch([old.fact(1, caller)], (renewal,)))
    assert ack.acked_through == 1
    assert ack.leases == ()
    assert spent_nano(store) == 1_000


async def test_renewals_ride_along_and_are_idempotent(collector: Collector, store: Store) -> None:
    caller, node = await make_caller(collector), await Node(collector).boot()
    renewal = Acquire("fra-1", node.epoch, "g1", caller.digest, 1_000, 1)
    foreign = Acquire("ams-1", node.epoch, "g2", caller.digest, 1_000, 1)
    for _ in range(2):
        ack = await node.link.ingest(node.batch([], (renewal, foreign)))
        assert [granted.granted_nano for granted in ack.leases] == [1_000]
    assert available_nano(store) == 999_000


async def test_renewal_that_cannot_be_served_is_left_out(collector: Collector, store: Store) -> None:
    """One under the name of another epoch's grant, one of an account with nothing left: the facts and the others pass."""
    caller, old = await make_caller(collector), await Node(collector).boot("a")
    broke = await make_caller(collector, "broke", 0)
    await old.acquire(caller, 1_000, 1, "g1")
    node = await Node(collector).boot("b")
    renewals = tuple(
        Acquire("fra-1", node.epoch, grant_id, digest, 1_000, 1)
        for grant_id, digest in (("g1", caller.digest), ("g2", broke.digest), ("g3", caller.digest))
    )
    ack = await node.link.ingest(node.batch([node.fact(1, caller)], renewals))
    assert ack.acked_through == 1
    assert [(granted.grant_id, granted.granted_nano) for granted in ack.leases] == [("g3", 1_000)]


async def test_facts_go_to_each_sink_that_has_room(collector: Collector, store: Store) -> None:
    """A full one counts what it misses; money and the other sink do not wait for it."""
    caller, node = await make_caller(collector), await Node(collector).boot()
    batch = node.batch([node.fact(1, caller), node.fact(2, caller)])
    ack = store.write(lambda tx: ingest(tx, batch, (), NOON_MS, sinks={"roomy": False, "full": True}))
    assert ack.acked_through == 2
    assert spent_nano(store) == 2_000
    assert store.read(lambda tx: tx.rows("SELECT sink, events FROM outbox")) == [("roomy", 2)]
    assert store.read(lambda tx: tx.rows("SELECT sink, skipped FROM sinks")) == [("full", 2)]


async def test_record_beyond_its_lease_takes_available_then_the_overage_term(collector: Collector, store: Store) -> None:
    """Never below zero: the customer pays what the account has, the named term the rest."""
    caller, node = await make_caller(collector, credit_nano=10_000), await Node(collector).boot()
    await node.acquire(caller, 4_000, 4_000)
    await node.link.ingest(node.batch([node.fact(1, caller, 7_000)]))
    assert (available_nano(store), spent_nano(store), absorbed_nano(store)) == (3_000, 7_000, 0)
    await node.link.ingest(node.batch([node.fact(2, caller, 7_000)]))
    assert (available_nano(store), spent_nano(store), absorbed_nano(store)) == (0, 10_000, 4_000)


async def test_fact_of_a_closed_epoch_is_late_and_named(collector: Collector, store: Store) -> None:
    caller, node = await make_caller(collector, credit_nano=1_500), await Node(collector).boot()
    await node.link.close(Close("fra-1", node.epoch, 0))
    await node.link.ingest(node.batch([node.fact(1, caller), node.fact(2, caller)]))
    assert (available_nano(store), spent_nano(store), absorbed_nano(store)) == (0, 1_500, 500)
    kinds = store.read(lambda tx: tx.rows("SELECT kind, debit FROM postings WHERE kind = 'late' ORDER BY posting_id"))
    assert kinds == [("late", "available"), ("late", "late")]


BAD: dict[str, dict[str, Any]] = {
    "cost": {"cost_nano": 1_001},
    "negative_cost": {"cost_nano": -1},
    "huge_cost": {"rates": Rates(request=10**30), "cost_nano": 10**27},
    "negative_tokens": {"tokens": Tokens(prompt=-5)},
    "huge_tokens": {"tokens": Tokens(completion=2**62)},
    "negative_rate": {"rates": Rates(request=1_000_000, cached=-1)},
    "time": {"started_ms": -1},
    "time_before_1970": {"gen_id": id_of("early", 0), "started_ms": -1},
    "negative_hold": {"hold_nano": -1},
    "huge_hold": {"hold_nano": 2**62},
    "negative_bill": {"upstream_cost_pico": -1},
    "huge_bill": {"upstream_cost_pico": 2**80},
    "key": {"key_id": "zzzzzz"},
    "account": {"account": "other"},
    "purse": {"purse": "other"},
    "purse_of_another_key": {"purse": "acme/zzzzzz"},
    "node": {"node": "ams-1"},
    "epoch": {"epoch": 3},
    "no_id": {"gen_id": ""},
    "nul": {"model": "a\0b"},
    "long": {"provider": "p" * 2_000},
    "long_upstream": {"upstream_model": "m" * 2_000},
}


@pytest.mark.parametrize("fault", BAD)
async def test_bad_record_is_rejected_and_acknowledged_and_the_others_pass(
    collector: Collector, store: Store, fault: str
) -> None:
    caller, node = await make_caller(collector), await Node(collector).boot()
    facts = [node.fact(seq, caller) for seq in range(1, 6)]
    facts[2] = msgspec.structs.replace(facts[2], **BAD[fault])
    for _ in range(2):
        ack = await node.link.ingest(node.batch(facts))
        assert ack.acked_through == 5
        assert [rejected.seq for rejected in ack.rejected] == [3]
        assert ack.rejected[0].reason
    assert spent_nano(store) == 4_000
    kept = store.read(lambda tx: tx.rows("SELECT seq, reason FROM rejections"))
    assert kept == [(3, ack.rejected[0].reason)]


async def test_record_with_a_seq_that_is_none_is_rejected(collector: Collector) -> None:
    caller, node = await make_caller(collector), await Node(collector).boot()
    ack = await node.link.ingest(node.batch([node.fact(seq, caller) for seq in (0, 1, -7, 2**62, 2**80)]))
    assert (ack.acked_through, [fault.seq for fault in ack.rejected]) == (1, [0, -7, 2**62, 2**80])


async def test_batch_beyond_bounds_is_refused_whole(collector: Collector) -> None:
    caller, node = await make_caller(collector), await Node(collector).boot()
    with pytest.raises(Refused) as caught:
        await node.link.ingest(node.batch([node.fact(1, caller)] * 5_001))
    assert caught.value.code == "too_large"
    with pytest.raises(Refused, match="never issued"):
        await Node(collector, epoch=2**50).link.ingest(Node(collector, epoch=2**50).batch([]))


async def test_records_are_charged_by_every_rate_they_carry(collector: Collector, store: Store) -> None:
    caller, node = await make_caller(collector), await Node(collector).boot()
    rates = Rates(input=150_000, output=600_000, cached=75_000, reasoning=700_000, request=1_234)
    tokens = Tokens(prompt=1_000, completion=321, cached=77, reasoning=21)
    fact = make_fact(1, caller, "fra-1", node.epoch, "gen-1", rates, tokens)
    expected_pico = 1_234 + 923 * 150_000 + 77 * 75_000 + 300 * 600_000 + 21 * 700_000
    await node.link.ingest(node.batch([fact]))
    assert spent_nano(store) == -(-expected_pico // 1_000)


async def test_revocation_is_repeated_until_the_node_proves_that_it_heard(collector: Collector, store: Store) -> None:
    """A lost acknowledgement loses no revocation: the proof is a batch that begins above what it acknowledged."""
    caller, node = await make_caller(collector), await Node(collector).boot()
    store.write(lambda tx: account_keys.revoke_key(tx, caller.key_id))
    assert (await node.link.ingest(node.batch([]))).revoked == (caller.digest,)
    first = node.batch([node.fact(1, caller)])
    assert (await node.link.ingest(first)).revoked == (caller.digest,)
    assert (await node.link.ingest(first)).revoked == (caller.digest,)
    assert (await node.link.ingest(node.batch([node.fact(2, caller)]))).revoked == ()
    assert (await node.link.ingest(node.batch([node.fact(3, caller)]))).revoked == ()
    fresh = await Node(collector, "new").boot()
    assert (await fresh.link.ingest(fresh.batch([]))).revoked == ()


async def test_facts_of_a_limited_key_are_paid_from_its_own_purse(collector: Collector, store: Store) -> None:
    caller = await make_caller(collector, terms=KeyTerms(limit_nano=50_000, limit_reset="monthly"))
    node = await Node(collector).boot()
    await node.acquire(caller, 10_000)
    ack = await node.link.ingest(node.batch([node.fact(1, caller)]))
    assert ack.balances == (Balance(caller.purse, 40_000),)
    assert available_nano(store) == 990_000
    assert spent_nano(store) == 1_000


async def test_facts_of_a_lost_future_are_charged_and_the_gap_is_shown(
    collector: Collector, store: Store, broken_checks: list[str]
) -> None:
    """After an old database was restored, a node goes on where the lost future had acknowledged it.

    What it sends counts, without a lease and never below zero; the facts in between are gone, verify says how many can be
    seen missing, and nothing is acknowledged across the gap until an operator accepts it.
    """
    caller = await make_caller(collector, credit_nano=1_500)
    node = Node(collector, epoch=NOON_MS // 1000 - 5)
    ack = await node.link.ingest(node.batch([node.fact(40, caller), node.fact(41, caller), node.fact(45, caller)]))
    assert ack.acked_through == 0
    assert (available_nano(store), spent_nano(store), absorbed_nano(store)) == (0, 1_500, 1_500)
    faults = [fault for check in store.read(verify) for fault in check.faults]
    assert len(faults) == 1
    assert "facts after 0 are missing, 3 later ones are here" in faults[0]
    assert (await Node(collector).boot("next")).epoch > node.epoch
    assert store.write(lambda tx: accept_gaps(tx, "fra-1", NOON_MS)) == 39 + 3
    assert (await node.link.ingest(node.batch([node.fact(46, caller)]))).acked_through == 46
    assert broken_checks == []


@pytest.mark.parametrize("terms", [None, KeyTerms(limit_nano=10**9)], ids=["one_purse", "two_purses"])
async def test_facts_of_one_batch_share_what_is_available(collector: Collector, store: Store, terms: KeyTerms | None) -> None:
    """Two that no lease pays for: the second gets what the first has left, and the rest is our loss, by name."""
    caller, node = await make_caller(collector), await Node(collector).boot()
    other = await make_caller(collector, credit_nano=0, terms=terms)
    assert (other.purse == caller.purse) is (terms is None)
    await node.link.ingest(node.batch([node.fact(1, caller, 700_000), node.fact(2, other, 700_000)]))
    assert (available_nano(store), absorbed_nano(store)) == (0, 400_000)
