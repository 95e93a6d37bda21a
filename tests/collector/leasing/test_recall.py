"""Credit called back: who is told, about what, and for how long."""

import pytest

from collector.leasing.recall import RECALL_MS
from collector.service import Collector
from collector.store.contract import Store
from tests.collector.facts import Node, make_caller
from usage.protocol import Poll, Polled

pytestmark = pytest.mark.anyio


async def poll(node: Node, key_version: int = 0) -> Polled:
    return await node.link.poll(Poll(node.name, node.epoch, key_version))


async def test_refusal_calls_back_what_other_nodes_hold(collector: Collector, store: Store) -> None:
    """All purses of the account that a node holds are named to it; a node without a lease of it hears nothing."""
    caller = await make_caller(collector, credit_nano=10_000)
    fra, ams, sin = [await Node(collector, name).boot() for name in ("fra-1", "ams-1", "sin-1")]
    await fra.acquire(caller, 4_000, 4_000)
    refused = await ams.acquire(caller, 8_000, 8_000)
    assert (refused.granted, refused.available_nano, refused.recalled_nano) == (None, 6_000, 4_000)
    assert (await poll(fra)).recalled == ("acme",)
    assert (await poll(sin)).recalled == ()


async def test_recall_gives_waiting_requests_what_they_want_and_renewals_nothing(collector: Collector, store: Store) -> None:
    """While somebody waits, nothing is granted for later."""
    caller = await make_caller(collector, credit_nano=10_000)
    fra, ams = [await Node(collector, name).boot() for name in ("fra-1", "ams-1")]
    await fra.acquire(caller, 4_000, 4_000)
    assert (await ams.acquire(caller, 8_000, 8_000)).recalled_nano
    assert (await fra.acquire(caller, 2_000, 1)).granted is None
    granted = (await ams.acquire(caller, 5_000, 5_000)).granted
    assert granted is not None
    assert (granted.granted_nano, granted.final) == (5_000, True)


async def test_recall_ends_by_itself(collector: Collector, store: Store) -> None:
    """Nobody asks any more, so leases may lie idle again."""
    caller = await make_caller(collector, credit_nano=10_000)
    fra, ams = [await Node(collector, name).boot() for name in ("fra-1", "ams-1")]
    await fra.acquire(caller, 4_000, 4_000)
    await ams.acquire(caller, 8_000, 8_000)
    now_ms = collector.clock_ms()
    collector.clock_ms = lambda: now_ms + RECALL_MS + 1
    assert (await poll(fra)).recalled == ()
    assert (await fra.acquire(caller, 2_000, 1)).granted is not None


async def test_poll_names_keys_that_changed(collector: Collector, store: Store) -> None:
    """A node that is idle hears of a revoked key with its next poll, once."""
    from collector.accounts.keys import revoke_key

    caller = await make_caller(collector)
    node = await Node(collector).boot()
    before = await poll(node)
    assert before.changed == ()
    store.write(lambda tx: revoke_key(tx, caller.key_id))
    after = await poll(node, before.key_version)
    assert after.changed == (caller.digest,)
    assert (await poll(node, after.key_version)).changed == ()


async def test_poll_says_whether_the_epoch_is_in_force(collector: Collector, store: Store) -> None:
    """Neither an older epoch nor one that was never issued is confirmed."""
    old = await Node(collector).boot("boot-1")
    assert (await poll(old)).is_newest
    new = await Node(collector).boot("boot-2")
    assert (await poll(new)).is_newest
    assert not (await poll(old)).is_newest
    assert not (await poll(Node(collector, "never", 7))).is_newest
