"""Leases: per lease settled + held ≤ granted, whatever the order of what happens."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from usage.lease import Lease

amounts = st.integers(0, 10_000)


class Spending(RuleBasedStateMachine):
    """A lease beside a plain account of what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.lease = Lease("acme")
        self.holds: list[int] = []
        self.charged: list[tuple[int, int]] = []
        self.granted = self.settled = self.returned = 0
        self.now_s = 0.0

    @rule(amount=amounts, life_s=st.integers(0, 900), final=st.booleans())
    def grant(self, amount: int, life_s: int, final: bool) -> None:
        before = self.lease.admit_until_s
        self.lease = self.lease.after_grant(amount, self.now_s + life_s, amount * 3 // 10, final)
        self.granted += amount
        assert self.lease.admit_until_s >= before

    @rule(amount=amounts)
    def hold(self, amount: int) -> None:
        if amount <= self.lease.free_nano and self.lease.is_admitting(self.now_s):
            self.lease = self.lease.after_hold(amount)
            self.holds.append(amount)

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), share=st.integers(0, 130))
    def settle(self, data: st.DataObject, share: int) -> None:
        hold = self.holds.pop(data.draw(st.integers(0, len(self.holds) - 1)))
        cost = hold * share // 100
        self.lease = self.lease.after_settle(hold, cost)
        self.settled += min(cost, hold)
        self.charged.append((hold, cost))

    @precondition(lambda self: self.charged)
    @rule(data=st.data())
    def reject(self, data: st.DataObject) -> None:
        hold, cost = self.charged.pop(data.draw(st.integers(0, len(self.charged) - 1)))
        self.lease = self.lease.after_rejection(hold, cost)
        self.settled -= min(cost, hold)

    @rule(share=st.integers(0, 100))
    def give_back(self, share: int) -> None:
        amount = self.lease.free_nano * share // 100
        self.lease = self.lease.after_return(amount)
        self.returned += amount

    @rule(seconds=st.integers(0, 1000))
    def wait(self, seconds: int) -> None:
        self.now_s += seconds

    @invariant()
    def is_conserved(self) -> None:
        lease = self.lease
        assert lease.granted_nano == self.granted - self.returned
        assert lease.settled_nano == self.settled
        assert lease.held_nano == sum(self.holds)
        assert lease.granted_nano - lease.settled_nano - lease.held_nano == lease.free_nano

    @invariant()
    def is_never_overspent(self) -> None:
        lease = self.lease
        assert lease.settled_nano + lease.held_nano <= lease.granted_nano


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_hold_beyond_what_is_free_is_our_bug() -> None:
    """The transition does not trust its caller."""
    lease = Lease("a").after_grant(100, 10.0, 30, False)
    with pytest.raises(AssertionError):
        lease.after_hold(101)
    with pytest.raises(AssertionError):
        lease.after_hold(-1)


@pytest.mark.parametrize(("hold", "cost"), [(1, 0), (-1, 0), (0, -1)])
def test_settlement_without_its_hold_is_our_bug(hold: int, cost: int) -> None:
    """Nothing is settled twice: a hold can end once."""
    with pytest.raises(AssertionError):
        Lease("a").after_grant(100, 10.0, 30, False).after_settle(hold, cost)


def test_return_of_held_credit_is_our_bug() -> None:
    """What a running request may still need does not go back."""
    lease = Lease("a").after_grant(100, 10.0, 30, False).after_hold(60)
    with pytest.raises(AssertionError):
        lease.after_return(41)
    assert lease.after_return(40).free_nano == 0


def test_lease_admits_until_its_end_only() -> None:
    """The end itself is too late."""
    lease = Lease("a").after_grant(1, 10.0, 0, True)
    assert lease.is_admitting(9.999)
    assert not lease.is_admitting(10.0)
    assert lease.final


def test_overage_is_not_taken_from_the_lease() -> None:
    """A provider that uses more than was held takes its hold; neither what is free nor a later grant pays the rest."""
    lease = Lease("a").after_grant(100, 10.0, 0, False).after_hold(50).after_settle(50, 80)
    assert (lease.free_nano, lease.settled_nano) == (50, 50)
    lease = lease.after_hold(50).after_settle(50, 500).after_grant(30, 10.0, 0, False)
    assert lease.free_nano == 30


def test_lease_that_is_confirmed_admits_no_shorter() -> None:
    """The collector's later word counts, and an answer that was overtaken takes nothing away."""
    lease = Lease("a").after_grant(100, 10.0, 30, False)
    assert lease.after_confirmation(25.0).admit_until_s == 25.0
    assert lease.after_confirmation(5.0).admit_until_s == lease.admit_until_s


def test_lease_that_is_recalled_asks_for_single_requests() -> None:
    """What it holds stays its own; it renews nothing ahead of need."""
    lease = Lease("a").after_grant(100, 10.0, 30, False)
    recalled = lease.after_recall()
    assert (recalled.low_water_nano, recalled.final, recalled.free_nano) == (0, True, lease.free_nano)
