"""Grant sizes: within what there is, at least one request, a share of the rest, single requests at the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.leasing.grant import PurseState, read_share, size_grant

AMOUNTS = st.integers(0, 10**12)


@given(want=AMOUNTS, least=AMOUNTS, available=AMOUNTS, nodes=st.integers(1, 1_000))
def test_grant_is_within_bounds(want: int, least: int, available: int, nodes: int) -> None:
    """Nothing, or at least the minimum, never more than there is, and more than the minimum only within the share."""
    size = size_grant(want, least, PurseState(available, nodes))
    if want == 0 or available < max(least, 1):
        assert size.amount_nano == 0
        return
    assert max(least, 1) <= size.amount_nano <= available
    assert size.amount_nano <= max(least, 1, want)
    if size.amount_nano > max(least, 1):
        assert size.amount_nano * 2 * nodes <= available
        assert not size.final
    assert size.low_water_nano <= size.amount_nano


def test_grant_at_the_end_of_a_balance_is_one_request() -> None:
    """37 requests left, grants of single requests until none is left: 37, never 38."""
    available, grants = 37_000, []
    while (size := size_grant(50_000, 1_000, PurseState(available, 3))).amount_nano:
        available -= size.amount_nano
        grants.append(size)
    assert sum(size.amount_nano for size in grants) == 37_000
    assert all(size.amount_nano % 1_000 == 0 for size in grants if size.final)
    assert grants[-1].final
    assert grants[-1].amount_nano == 1_000
    assert not grants[0].final


def test_grant_of_what_is_wanted_has_a_low_water_mark() -> None:
    """Renewal starts when 30 % is left."""
    size = size_grant(1_000, 10, PurseState(1_000_000, 2))
    assert (size.amount_nano, size.low_water_nano, size.final) == (1_000, 300, False)


def test_share_is_what_the_operator_sets() -> None:
    """TOLLWAY_LEASE_SHARE bounds a grant, in percent of what is available; what is no such number is named."""
    assert size_grant(1_000, 10, PurseState(1_000, 1), share_percent=read_share({"TOLLWAY_LEASE_SHARE": "20"})).amount_nano == 200
    assert read_share({}) == 50
    for wrong in ("0", "101", "half", "-1", "5.5"):
        with pytest.raises(ValueError, match="TOLLWAY_LEASE_SHARE"):
            read_share({"TOLLWAY_LEASE_SHARE": wrong})


def test_renewal_for_nobody_stays_within_the_share() -> None:
    """What the node has already is part of its share; whoever waits gets what is needed beyond it."""
    assert size_grant(1_000, 1, PurseState(600, 1, leased_nano=400)).amount_nano == 100
    assert size_grant(1_000, 1, PurseState(500, 1, leased_nano=500)).amount_nano == 0
    assert size_grant(1_000, 100, PurseState(500, 1, leased_nano=500)).amount_nano == 200
