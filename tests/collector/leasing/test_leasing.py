"""Epochs and leases: what nodes are granted, and how credit comes back. Both databases."""

import pytest

from collector.accounts import keys as account_keys
from collector.accounts.accounts import Mistake
from collector.accounts.history import key_usage, limit_left_nano
from collector.accounts.keys import KeyTerms
from collector.accounts.window import DAY_MS
from collector.leasing.forfeit import FORFEIT_MS, Forfeited, forfeit, forfeit_machine
from collector.leasing.nodes import issue_token, node_of_token, revoke_older_tokens, revoke_tokens, stranded
from collector.service import Collector
from collector.store.contract import Store, Tx
from tests.collector.facts import NOON_MS, Caller, Clock, Node, absorbed_nano, available_nano, make_caller, spent_nano
from usage.protocol import Acquire, Boot, Close, Poll, Refused, Return

pytestmark = pytest.mark.anyio


async def test_boot_repeated_gives_the_same_epoch_and_a_new_one_a_greater(collector: Collector) -> None:
    link = collector.for_node("fra-1")
    first = await link.boot(Boot("fra-1", "a"))
    assert await link.boot(Boot("fra-1", "a")) == first
    second = await link.boot(Boot("fra-1", "b"))
    assert second.epoch > first.epoch
    assert second.open_epochs == (first.epoch,)
    assert (await link.boot(Boot("fra-1", "a"))).epoch == first.epoch


async def test_boot_epochs_are_at_least_unix_seconds_and_grow_when_the_clock_falls(collector: Collector, clock: Clock) -> None:
    """A restored store that forgot epochs does not issue one of them again; a clock step back does no harm."""
    first = await Node(collector).boot("a")
    assert first.epoch == NOON_MS // 1000
    clock.now_ms -= 10 * DAY_MS
    second = await Node(collector).boot("b")
    assert second.epoch == first.epoch + 1


async def test_acquire_debits_available_when_made_and_is_idempotent_on_grant_id(collector: Collector, store: Store) -> None:
    caller, node = await make_caller(collector), await Node(collector).boot()
    first = await node.acquire(caller, 100_000, 1_000, "g1")
    assert first.granted is not None
    assert first.granted.granted_nano == 100_000
    assert first.granted.low_water_nano == 30_000
    assert first.granted.ttl_s == 900.0
    assert (await node.acquire(caller, 100_000, 1_000, "g1")).granted == first.granted
    assert available_nano(store) == 900_000


async def test_acquire_with_a_grant_id_of_another_epoch_is_refused(collector: Collector) -> None:
    caller, node = await make_caller(collector), await Node(collector).boot()
    await node.acquire(caller, 1_000, 1, "g1")
    other = await Node(collector, "fra-2").boot()
    with pytest.raises(Refused) as caught:
        await other.acquire(caller, 1_000, 1, "g1")
    assert caught.value.code == "invalid"


async def test_acquire_by_an_old_epoch_is_fenced(collector: Collector, store: Store) -> None:
    caller, old = await make_caller(collector), await Node(collector).boot("a")
    await Node(collector).boot("b")
    with pytest.raises(Refused) as caught:
        await old.acquire(caller, 1_000)
    assert caught.value.code == "fenced"
    assert available_nano(store) == 1_000_000


async def test_acquire_by_an_epoch_never_issued_is_fenced(collector: Collector) -> None:
    caller = await make_caller(collector)
    with pytest.raises(Refused, match="gets no more credit"):
        await Node(collector, epoch=NOON_MS).acquire(caller, 1_000)


async def test_acquire_of_nothing_tells_the_policy_even_to_an_old_epoch(collector: Collector) -> None:
    caller, old = await make_caller(collector), await Node(collector).boot("a")
    await Node(collector).boot("b")
    answer = await old.acquire(caller, 0)
    assert answer.policy is not None
    assert answer.policy.account == "acme"
    assert answer.granted is None
    assert answer.available_nano == 1_000_000


async def test_acquire_for_an_unknown_key_has_no_policy(collector: Collector) -> None:
    node = await Node(collector).boot()
    for want_nano in (0, 10):
        answer = await node.link.acquire(Acquire("fra-1", node.epoch, "g", "f" * 64, want_nano))
        assert answer.policy is None


async def test_acquire_for_a_revoked_or_expired_key_has_no_grant(collector: Collector, clock: Clock, store: Store) -> None:
    caller, node = await make_caller(collector), await Node(collector).boot()
    brief = await make_caller(collector, credit_nano=0, terms=KeyTerms(expires_ms=NOON_MS + 5))
    store.write(lambda tx: account_keys.revoke_key(tx, caller.key_id))
    answer = await node.acquire(caller, 10)
    assert answer.policy is not None
    assert answer.policy.disabled
    assert answer.granted is None
    assert (await node.acquire(brief, 10)).granted is not None
    clock.now_ms += 5
    assert (await node.acquire(brief, 10)).granted is None


async def test_acquire_from_an_empty_account_says_what_is_left(collector: Collector) -> None:
    caller, node = await make_caller(collector, credit_nano=999), await Node(collector).boot()
    answer = await node.acquire(caller, 5_000, 1_000)
    assert answer.granted is None
    assert answer.exhausted_by == "credits"
    assert answer.available_nano == 999


async def test_acquire_shares_between_active_nodes(collector: Collector, clock: Clock) -> None:
    """Half of what is available, divided by the nodes that use the account; an idle node counts no more."""
    caller = await make_caller(collector, credit_nano=1_000_000)
    sizes = []
    for name in ("a", "b"):
        granted = (await (await Node(collector, name).boot()).acquire(caller, 10**9)).granted
        assert granted is not None
        sizes.append(granted.granted_nano)
    assert sizes == [500_000, 125_000]
    clock.now_ms += 121_000
    granted = (await (await Node(collector, "c").boot()).acquire(caller, 10**9)).granted
    assert granted is not None
    assert granted.granted_nano == 375_000 // 2


async def test_acquire_never_grants_more_than_a_key_limit_in_its_window(collector: Collector, clock: Clock, store: Store) -> None:
    """Spent in the window plus open grants stays within the limit; the next UTC day begins anew."""
    caller = await make_caller(collector, terms=KeyTerms(limit_nano=10_000, limit_reset="daily"))
    node = await Node(collector).boot()
    assert caller.purse == f"acme/{caller.key_id}"
    granted = 0
    for _ in range(20):
        answer = await node.acquire(caller, 4_000, 1_000)
        granted += answer.granted.granted_nano if answer.granted else 0
    assert granted == 10_000
    assert answer.exhausted_by == "key_limit"
    await node.link.ingest(node.batch([node.fact(seq, caller) for seq in range(1, 7)]))
    assert (await node.link.give_back(Return("fra-1", node.epoch, "r", caller.purse, 9_999))).returned_nano == 4_000
    answer = await node.acquire(caller, 0)
    assert answer.available_nano == 4_000
    clock.now_ms += DAY_MS // 2
    assert (await node.acquire(caller, 0)).available_nano == 10_000
    assert spent_nano(store) == 6_000


@pytest.mark.parametrize("keep_ms", [0, DAY_MS])
async def test_keys_that_replaced_one_another_share_one_limit(
    collector: Collector, clock: Clock, store: Store, keep_ms: int
) -> None:
    """What the first one used and holds is not there for the second, nor for the third; the next UTC day begins anew for all."""
    terms = KeyTerms(limit_nano=10_000, limit_reset="daily")
    first, node = await make_caller(collector, terms=terms), await Node(collector).boot()
    await node.acquire(first, 3_000, 1_000)
    await node.link.ingest(node.batch([node.fact(seq, first) for seq in (1, 2)]))
    second = rotated(store, first, keep_ms)
    assert (await node.acquire(second, 0)).available_nano == 7_000
    await node.acquire(second, 3_000, 3_000)
    third = rotated(store, second, keep_ms)
    answer = await node.acquire(third, 5_000, 5_000)
    assert (answer.granted, answer.available_nano, answer.exhausted_by) == (None, 4_000, "key_limit")
    assert answer.recalled_nano == 4_000
    assert set((await node.link.poll(Poll("fra-1", node.epoch, 0))).recalled) == {first.purse, second.purse}
    assert (await node.link.give_back(Return("fra-1", node.epoch, "r", first.purse, 9_999))).returned_nano == 1_000
    assert (await node.acquire(third, 5_000, 5_000)).granted is not None
    left = [(await node.acquire(caller, 0)).available_nano for caller in (first, second, third)]
    assert left == [0, 0, 0]
    stranger = await make_caller(collector, credit_nano=0, terms=terms)
    assert (await node.acquire(stranger, 0)).available_nano == 10_000
    shown = [shown_usage(store, caller) for caller in (first, second, third)]
    assert shown == [(used, 2_000, 8_000) for used in (2_000, 0, 0)]
    clock.now_ms += DAY_MS // 2
    for return_id, caller in (("s", second), ("t", third)):
        await node.link.give_back(Return("fra-1", node.epoch, return_id, caller.purse, 9_999))
    assert (await node.acquire(third, 0)).available_nano == 10_000


def rotated(store: Store, caller: Caller, keep_ms: int) -> Caller:
    """The key that replaces a caller's."""

    def work(tx: Tx) -> Caller:
        old = account_keys.find_key(tx, caller.digest)
        assert old is not None
        text, made, ended = account_keys.rotate_key(tx, old, keep_ms, NOON_MS)
        assert ended.is_usable(NOON_MS) == bool(keep_ms)
        return Caller(text, made.digest, made.key_id, made.account, made.purse)

    return store.write(work)


def shown_usage(store: Store, caller: Caller) -> tuple[int, int, int | None]:
    """Of a key: what it used, what was used of its limit, what is left of that."""

    def work(tx: Tx) -> tuple[int, int, int | None]:
        key = account_keys.find_key(tx, caller.digest)
        assert key is not None
        spent = key_usage(tx, key, NOON_MS)
        return spent["usage"], spent["limit_usage"], limit_left_nano(key, spent)

    return store.read(work)


async def test_return_is_idempotent_and_never_more_than_the_lease_holds(collector: Collector, store: Store) -> None:
    caller, node = await make_caller(collector), await Node(collector).boot()
    await node.acquire(caller, 100_000)
    message = Return("fra-1", node.epoch, "r1", "acme", 40_000)
    assert (await node.link.give_back(message)).returned_nano == 40_000
    assert (await node.link.give_back(message)).returned_nano == 40_000
    assert (await node.link.give_back(Return("fra-1", node.epoch, "r2", "acme", 10**12))).returned_nano == 60_000
    assert (await node.link.give_back(Return("fra-1", node.epoch, "r3", "nobody", 5))).returned_nano == 0
    assert available_nano(store) == 1_000_000


async def test_return_under_the_name_of_another_epochs_is_refused(collector: Collector, store: Store) -> None:
    """The name is what makes a return count once, so it belongs to one epoch."""
    caller, old = await make_caller(collector), await Node(collector).boot("a")
    await old.acquire(caller, 100_000)
    await old.link.give_back(Return("fra-1", old.epoch, "r1", "acme", 40_000))
    node = await Node(collector).boot("b")
    with pytest.raises(Refused, match="used by another node or epoch"):
        await node.link.give_back(Return("fra-1", node.epoch, "r1", "acme", 40_000))
    assert available_nano(store) == 940_000


async def test_return_of_a_negative_amount_is_refused(collector: Collector) -> None:
    node = await Node(collector).boot()
    with pytest.raises(Refused) as caught:
        await node.link.give_back(Return("fra-1", node.epoch, "r", "acme", -1))
    assert caught.value.code == "invalid"


async def test_close_waits_for_all_facts_then_returns_the_rest_once(collector: Collector, store: Store) -> None:
    caller, node = await make_caller(collector), await Node(collector).boot()
    await node.acquire(caller, 100_000)
    await node.link.ingest(node.batch([node.fact(1, caller), node.fact(3, caller)]))
    early = await node.link.close(Close("fra-1", node.epoch, 3))
    assert (early.closed, early.acked_through) == (False, 1)
    assert available_nano(store) == 900_000
    await node.link.ingest(node.batch([node.fact(2, caller)]))
    for _ in range(2):
        assert (await node.link.close(Close("fra-1", node.epoch, 3))).closed
        assert available_nano(store) == 1_000_000 - 3_000
    with pytest.raises(Refused, match="gets no more credit"):
        await node.acquire(caller, 10)
    assert (await node.link.give_back(Return("fra-1", node.epoch, "late", "acme", 5))).returned_nano == 0
    assert store.read(lambda tx: tx.rows("SELECT return_id FROM returns")) == [], "of a closed lease nothing is kept"


async def test_close_of_an_unknown_epoch_without_facts_is_done(collector: Collector) -> None:
    node = Node(collector, epoch=5)
    assert (await node.link.close(Close("fra-1", 5, 0))).closed
    assert not (await node.link.close(Close("fra-1", 5, 1))).closed


async def test_lease_does_not_come_back_by_time(collector: Collector, clock: Clock, store: Store) -> None:
    """Only a return, a close or an operator's word gives credit back: a clock cannot overspend."""
    caller, node = await make_caller(collector), await Node(collector).boot("a")
    await node.acquire(caller, 100_000)
    clock.now_ms += 365 * DAY_MS
    await (await Node(collector).boot("b")).acquire(caller, 0)
    assert available_nano(store) == 900_000


async def test_forfeit_returns_the_lease_and_names_late_facts(collector: Collector, store: Store) -> None:
    """Credit given back for a dead node may be spent again; a fact that turns up later is charged as far as possible."""
    caller, node = await make_caller(collector, credit_nano=10_000), await Node(collector).boot("a")
    await node.acquire(caller, 5_000, 5_000)
    with pytest.raises(Mistake, match="lives"):
        store.write(lambda tx: forfeit(tx, "fra-1", NOON_MS))
    with pytest.raises(Mistake, match="there is no node 'fra-2'; `tollway nodes list` shows them"):
        store.write(lambda tx: forfeit(tx, "fra-2", NOON_MS + FORFEIT_MS))
    assert store.write(lambda tx: forfeit(tx, "fra-1", NOON_MS + FORFEIT_MS)) == Forfeited(1, 5_000)
    other = await Node(collector, "ams-1").boot()
    await other.acquire(caller, 9_000, 9_000)
    await other.link.ingest(other.batch([other.fact(1, caller, 9_000)]))
    await node.link.ingest(node.batch([node.fact(1, caller, 3_000)]))
    assert (available_nano(store), spent_nano(store), absorbed_nano(store)) == (0, 10_000, 2_000)


async def test_forfeit_leaves_the_epoch_that_lives(collector: Collector, store: Store, clock: Clock) -> None:
    """A node goes on with a new disk: what the lost one leased comes back, and the living process is not ended with it."""
    caller, lost = await make_caller(collector, credit_nano=10_000), await Node(collector).boot("a")
    await lost.acquire(caller, 2_000, 2_000)
    clock.now_ms += FORFEIT_MS
    living = await Node(collector).boot("b")
    await living.acquire(caller, 1_000, 1_000)
    assert store.read(lambda tx: stranded(tx, clock.now_ms)) == 2_000
    done = store.write(lambda tx: forfeit(tx, "fra-1", clock.now_ms))
    assert done == Forfeited(1, 2_000, (living.epoch,))
    assert (await living.acquire(caller, 1_000, 1_000)).granted is not None
    assert store.read(lambda tx: stranded(tx, clock.now_ms)) == 0
    assert store.write(lambda tx: forfeit(tx, "fra-1", clock.now_ms, with_living=True)).epochs == 1
    assert available_nano(store) == 10_000


async def test_forfeit_of_a_machine_is_of_its_workers_too(collector: Collector, store: Store, clock: Clock) -> None:
    """Each worker is a node of its own: those that are gone are ended, one that lives is left unless one says otherwise."""
    caller, lost = await make_caller(collector, credit_nano=10_000), await Node(collector, "fra-1@0").boot("a")
    await lost.acquire(caller, 2_000, 2_000)
    clock.now_ms += FORFEIT_MS
    living = await Node(collector, "fra-1@1").boot("b")
    await living.acquire(caller, 1_000, 1_000)
    for name in ("fra-10@0", "FRA-1@0"):
        await (await Node(collector, name).boot("c")).acquire(caller, 500, 500)
    assert store.write(lambda tx: forfeit_machine(tx, "fra-1", clock.now_ms)) == Forfeited(1, 2_000, (living.epoch,))
    with pytest.raises(Mistake, match="'fra-1' lives: its workers were heard of"):
        store.write(lambda tx: forfeit_machine(tx, "fra-1", clock.now_ms))
    assert store.write(lambda tx: forfeit_machine(tx, "fra-1", clock.now_ms, with_living=True)) == Forfeited(1, 1_000)
    with pytest.raises(Mistake, match="there is no node 'fra-2'"):
        store.write(lambda tx: forfeit_machine(tx, "fra-2", clock.now_ms))
    assert available_nano(store) == 9_000


async def test_revoking_a_machine_is_of_its_workers_and_of_no_other_one(collector: Collector, store: Store) -> None:
    """Also where two names differ in capital letters alone, or one of them has what a pattern would take for any letter."""
    names = ("a_1", "a_1@0", "A_1@0", "ab1@0", "a_10@0")
    tokens = {name: store.write(lambda tx, name=name: issue_token(tx, name, NOON_MS)) for name in names}  # type: ignore[misc]
    assert store.write(lambda tx: revoke_tokens(tx, "a_1", NOON_MS)) == 2
    for name, token in tokens.items():
        if name.startswith("a_1") and not name.startswith("a_10"):
            with pytest.raises(Refused, match="node a_1 was revoked"):
                store.read(lambda tx, token=token: node_of_token(tx, token))  # type: ignore[misc]
        else:
            assert store.read(lambda tx, token=token: node_of_token(tx, token)) == name  # type: ignore[misc]
    assert store.write(lambda tx: revoke_older_tokens(tx, "ab1", NOON_MS)) == 0
    with pytest.raises(Mistake, match="there is no node 'b1'"):
        store.write(lambda tx: revoke_older_tokens(tx, "b1", NOON_MS))


async def test_node_may_speak_for_itself_only(collector: Collector) -> None:
    link = collector.for_node("fra-1")
    with pytest.raises(Refused) as caught:
        await link.boot(Boot("ams-1", "x"))
    assert caught.value.code == "bad_node_token"
    with pytest.raises(Refused):
        collector.for_node("no/slash")
