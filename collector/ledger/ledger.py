"""The double-entry ledger: who owes what to whom, as values.

Rule: a posting moves one positive amount of nano-dollars from one book (its debit) to another (its credit), so debits equal
credits in every entry and in their sum. Rule: postings are only ever added; a mistake is undone by a correction.
Rule: `available` never goes below zero. A settlement takes what was held for it from its lease (`usage.lease.leased_part`); what
it cost beyond that comes from `available`, never from credit that the edge still counts on. What `available` does not have
is posted to one of three named terms (overage, late, grace), which are our loss and not the customer's debt.
Strategy: a transition takes balances and returns postings; `Tables` is what postings add up to. Tables are additive, so the
same function that rebuilds the whole history also says what one entry changes.
"""

from collections.abc import Iterable

import msgspec

CASH, AVAILABLE, LEASED, REVENUE = "cash", "available", "leased", "revenue"
OVERAGE, LATE, GRACE = "overage", "late", "grace"
TERMS = (OVERAGE, LATE, GRACE)
"""overage: a provider used more than was held and the account had. late: a fact of a closed or forfeited lease. grace: off."""

TOPPED_NANO_MAX = 4 * 10**18
"""The most one account may have been topped up by: sums stay below 2**63."""


class LeaseKey(msgspec.Struct, frozen=True, order=True):
    """One lease: the credit of one purse on one epoch of one node."""

    node: str
    epoch: int
    purse: str


class Posting(msgspec.Struct, frozen=True):
    """`amount_nano` (> 0) leaves the book `debit` and reaches the book `credit`. `lease` is set where LEASED is one of them."""

    kind: str
    debit: str
    credit: str
    amount_nano: int
    account: str
    lease: LeaseKey | None = None
    ref: str = ""


class AccountRow(msgspec.Struct):
    """topped − spent = posted = available + Σ open leases; absorbed is what the named terms paid for this account."""

    available_nano: int = 0
    topped_nano: int = 0
    spent_nano: int = 0
    absorbed_nano: int = 0


class LeaseRow(msgspec.Struct):
    """granted − settled − returned = open."""

    granted_nano: int = 0
    settled_nano: int = 0
    returned_nano: int = 0

    @property
    def open_nano(self) -> int:
        """Credit still in the lease; never negative."""
        return self.granted_nano - self.settled_nano - self.returned_nano


class Tables(msgspec.Struct):
    """What postings add up to: a row per account, per lease and per book (credits minus debits)."""

    accounts: dict[str, AccountRow] = msgspec.field(default_factory=dict)
    leases: dict[LeaseKey, LeaseRow] = msgspec.field(default_factory=dict)
    books: dict[str, int] = msgspec.field(default_factory=dict)


EFFECTS: dict[tuple[str, str], tuple[tuple[str, int], ...]] = {
    (CASH, AVAILABLE): (("available_nano", 1), ("topped_nano", 1)),
    (AVAILABLE, CASH): (("available_nano", -1), ("topped_nano", -1)),
    (AVAILABLE, LEASED): (("available_nano", -1), ("granted_nano", 1)),
    (LEASED, AVAILABLE): (("available_nano", 1), ("returned_nano", 1)),
    (LEASED, REVENUE): (("spent_nano", 1), ("settled_nano", 1)),
    (AVAILABLE, REVENUE): (("available_nano", -1), ("spent_nano", 1)),
    (OVERAGE, REVENUE): (("absorbed_nano", 1),),
    (LATE, REVENUE): (("absorbed_nano", 1),),
    (GRACE, REVENUE): (("absorbed_nano", 1),),
}
"""(debit, credit) → which columns change, and which way. A pair that is not here is not a posting."""

_OF_LEASE = frozenset(LeaseRow.__struct_fields__)


def add_postings(tables: Tables, postings: Iterable[Posting]) -> Tables:
    """Add postings to tables, in place; AssertionError for a posting that no transition makes."""
    for posting in postings:
        amount_nano = posting.amount_nano
        assert type(amount_nano) is int, posting
        assert amount_nano > 0, posting
        account = tables.accounts.setdefault(posting.account, AccountRow())
        for column, sign in EFFECTS[posting.debit, posting.credit]:
            if column in _OF_LEASE:
                assert posting.lease is not None, posting
                row: AccountRow | LeaseRow = tables.leases.setdefault(posting.lease, LeaseRow())
            else:
                row = account
            setattr(row, column, getattr(row, column) + sign * amount_nano)
        tables.books[posting.debit] = tables.books.get(posting.debit, 0) - amount_nano
        tables.books[posting.credit] = tables.books.get(posting.credit, 0) + amount_nano
    return tables


def rebuild(postings: Iterable[Posting]) -> Tables:
    """The tables that the whole log, or any part of it, adds up to."""
    return add_postings(Tables(), postings)


def top_up(account: str, amount_nano: int, ref: str = "") -> tuple[Posting, ...]:
    """The customer paid."""
    assert amount_nano > 0
    return (Posting("top_up", CASH, AVAILABLE, amount_nano, account, None, ref),)


def correct(account: str, available_nano: int, amount_nano: int, ref: str = "") -> tuple[Posting, ...]:
    """Undo (part of) a top-up, at most what is available; a new entry, never a change of an old one."""
    assert amount_nano > 0
    taken_nano = min(amount_nano, available_nano)
    return (Posting("correction", AVAILABLE, CASH, taken_nano, account, None, ref),) if taken_nano else ()


def grant(account: str, lease: LeaseKey, available_nano: int, amount_nano: int, ref: str = "") -> tuple[Posting, ...]:
    """Move credit into a lease, before the node hears of it; the caller has sized it within `available_nano`."""
    assert 0 < amount_nano <= available_nano
    return (Posting("grant", AVAILABLE, LEASED, amount_nano, account, lease, ref),)


def settle(
    account: str, lease: LeaseKey, open_nano: int, available_nano: int, cost_nano: int, leased_nano: int
) -> tuple[Posting, ...]:
    """Charge `cost_nano`: `leased_nano` of it to an open lease, the rest to available, then to the term `overage`."""
    assert min(open_nano, available_nano, cost_nano - leased_nano, leased_nano) >= 0
    leased_nano = min(leased_nano, open_nano)
    rest_nano = cost_nano - leased_nano
    paid = (Posting("settle", LEASED, REVENUE, leased_nano, account, lease),) if leased_nano else ()
    return paid + _charge("overage", OVERAGE, account, lease, available_nano, rest_nano)


def charge_late(account: str, lease: LeaseKey, available_nano: int, cost_nano: int) -> tuple[Posting, ...]:
    """Charge a fact whose lease was closed or forfeited, or was never known: available first, then the term `late`."""
    return _charge("late", LATE, account, lease, available_nano, cost_nano)


def _charge(kind: str, term: str, account: str, lease: LeaseKey, available_nano: int, cost_nano: int) -> tuple[Posting, ...]:
    taken_nano = min(cost_nano, available_nano)
    rest_nano = cost_nano - taken_nano
    taken = (Posting(kind, AVAILABLE, REVENUE, taken_nano, account, lease),) if taken_nano else ()
    return taken + ((Posting(kind, term, REVENUE, rest_nano, account, lease),) if rest_nano else ())


def give_back(
    account: str, lease: LeaseKey, open_nano: int, amount_nano: int, kind: str = "return", ref: str = ""
) -> tuple[Posting, ...]:
    """Credit flows from a lease back to available, never more than the lease holds. Kinds: return, close, forfeit."""
    assert min(open_nano, amount_nano) >= 0
    returned_nano = min(amount_nano, open_nano)
    return (Posting(kind, LEASED, AVAILABLE, returned_nano, account, lease, ref),) if returned_nano else ()


def terms_nano(tables: Tables) -> dict[str, int]:
    """What each named term has paid so far; never negative."""
    return {term: -tables.books.get(term, 0) for term in TERMS}
