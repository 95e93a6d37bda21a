"""The ledger as an algebra: whatever happens in whatever order, the sums hold; and wrong ledgers are caught."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from collector.ledger import ledger
from collector.ledger.ledger import AVAILABLE, LEASED, REVENUE, AccountRow, LeaseKey, LeaseRow, Posting, Tables

ACCOUNTS = ("a", "b")
LEASES = tuple(LeaseKey(f"node-{node}", epoch, purse) for node in (1, 2) for epoch in (1, 2) for purse in ("a", "b", "b/k"))
AMOUNTS = st.integers(0, 10_000)


class Books:
    """A ledger in use: tables kept up to date entry by entry, the log, and an independent count of what was charged."""

    def __init__(self) -> None:
        self.tables = Tables({name: AccountRow() for name in ACCOUNTS}, {key: LeaseRow() for key in LEASES}, {})
        self.log: list[Posting] = []
        self.charged = 0
        self.topped = 0

    def post(self, postings: tuple[Posting, ...]) -> None:
        ledger.add_postings(self.tables, postings)
        self.log += postings

    def available(self, account: str) -> int:
        return self.tables.accounts[account].available_nano

    def do(self, what: str, lease: LeaseKey, amount: int) -> None:
        account = lease.purse[0]
        left, available = self.tables.leases[lease].open_nano, self.available(account)
        if what == "top_up" and amount:
            self.post(ledger.top_up(account, amount))
            self.topped += amount
        elif what == "correct" and amount:
            made = ledger.correct(account, available, amount)
            self.topped -= sum(entry.amount_nano for entry in made)
            self.post(made)
        elif what == "grant" and 0 < amount <= available:
            self.post(ledger.grant(account, lease, available, amount))
        elif what == "settle":
            self.post(ledger.settle(account, lease, left, available, amount, min(amount, left + 7)))
            self.charged += amount
        elif what == "late":
            self.post(ledger.charge_late(account, lease, available, amount))
            self.charged += amount
        elif what == "give_back":
            self.post(ledger.give_back(account, lease, left, amount))

    def check(self) -> None:
        accounts, leases, books = self.tables.accounts, self.tables.leases, self.tables.books
        assert all(row.available_nano >= 0 for row in accounts.values())
        assert all(row.open_nano >= 0 for row in leases.values())
        for name, row in accounts.items():
            leased = sum(lease.open_nano for key, lease in leases.items() if key.purse[0] == name)
            assert row.topped_nano - row.spent_nano == row.available_nano + leased
            assert row.spent_nano <= row.topped_nano
        assert sum(books.values()) == 0
        assert books.get(REVENUE, 0) == self.charged
        assert self.charged == sum(row.spent_nano + row.absorbed_nano for row in accounts.values())
        assert sum(row.absorbed_nano for row in accounts.values()) == sum(ledger.terms_nano(self.tables).values())
        assert -books.get("cash", 0) == self.topped

    def check_rebuild(self) -> None:
        again = ledger.rebuild(self.log)
        assert {name: row for name, row in self.tables.accounts.items() if row != AccountRow()} == {
            name: row for name, row in again.accounts.items() if row != AccountRow()
        }
        assert {key: row for key, row in self.tables.leases.items() if row != LeaseRow()} == again.leases
        assert self.tables.books == again.books


WHATS = ("top_up", "correct", "grant", "settle", "late", "give_back")


class LedgerMachine(RuleBasedStateMachine):
    """Any operations in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Books()

    @rule(what=st.sampled_from(WHATS), lease=st.sampled_from(LEASES), amount=AMOUNTS)
    def operate(self, what: str, lease: LeaseKey, amount: int) -> None:
        self.books.do(what, lease, amount)

    @invariant()
    def sums_hold(self) -> None:
        self.books.check()

    def teardown(self) -> None:
        self.books.check_rebuild()


LedgerMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLedgerKeepsEverySum = LedgerMachine.TestCase


def run_random(seed: int, steps: int = 400) -> Books:
    dice, books = random.Random(seed), Books()
    for _ in range(steps):
        books.do(dice.choice(WHATS), dice.choice(LEASES), dice.randrange(5_000))
        books.check()
    books.check_rebuild()
    return books


def run_seeds(count: int) -> None:
    for seed in range(count):
        run_random(seed)


def test_ledger_of_many_random_operations_rebuilds() -> None:
    """Twenty thousand operations; the long form of a million runs in scripts/soak."""
    run_seeds(50)


def _settle_into_debt(
    account: str, lease: LeaseKey, open_nano: int, available_nano: int, cost_nano: int, leased_nano: int
) -> Any:
    return (Posting("settle", LEASED, REVENUE, cost_nano, account, lease),) if cost_nano else ()


def _settle_forgiving(
    account: str, lease: LeaseKey, open_nano: int, available_nano: int, cost_nano: int, leased_nano: int
) -> Any:
    paid = min(leased_nano, open_nano)
    return (Posting("settle", LEASED, REVENUE, paid, account, lease),) if paid else ()


def _settle_twice(account: str, lease: LeaseKey, open_nano: int, available_nano: int, cost_nano: int, leased_nano: int) -> Any:
    return RIGHT["settle"](account, lease, open_nano, available_nano, cost_nano, leased_nano) * 2


def _settle_in_float(account: str, lease: LeaseKey, open_nano: int, available_nano: int, cost_nano: int, leased_nano: int) -> Any:
    return RIGHT["settle"](account, lease, open_nano, available_nano, cost_nano * 1.0, leased_nano)


def _settle_from_available(
    account: str, lease: LeaseKey, open_nano: int, available_nano: int, cost_nano: int, leased_nano: int
) -> Any:
    return (Posting("settle", AVAILABLE, REVENUE, cost_nano, account, lease),) if cost_nano else ()


def _give_back_all(account: str, lease: LeaseKey, open_nano: int, amount_nano: int) -> Any:
    return (Posting("return", LEASED, AVAILABLE, amount_nano, account, lease),) if amount_nano else ()


def _grant_for_nothing(account: str, lease: LeaseKey, available_nano: int, amount_nano: int) -> Any:
    return (Posting("grant", "cash", LEASED, amount_nano, account, lease),)


RIGHT: dict[str, Callable[..., Any]] = {name: getattr(ledger, name) for name in ("settle", "give_back", "grant")}
WRONG = {
    "settlement into debt": ("settle", _settle_into_debt),
    "cost beyond the lease forgiven without a name": ("settle", _settle_forgiving),
    "settled twice": ("settle", _settle_twice),
    "money as a float": ("settle", _settle_in_float),
    "settlement without the lease": ("settle", _settle_from_available),
    "return of more than the lease holds": ("give_back", _give_back_all),
    "grant that debits nobody": ("grant", _grant_for_nothing),
}


@pytest.mark.parametrize("variant", WRONG)
def test_ledger_wrong_variant_is_caught(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate is alive: each wrong ledger breaks a sum within a few seeds."""
    name, wrong = WRONG[variant]
    monkeypatch.setattr(ledger, name, wrong)
    with pytest.raises((AssertionError, KeyError)):
        run_seeds(20)
