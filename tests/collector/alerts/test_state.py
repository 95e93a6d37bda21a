"""When an alert fires: once per fall, and again only after things were a tenth better, or a window began anew."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from collector.alerts.state import Alert, Level, after, has_fired

BALANCE = Alert("a", "acme", "balance", "", 1_000)
SHARE = Alert("b", "acme", "key_limit", "k", 80)


def fires(alert: Alert, readings: list[Level]) -> list[bool]:
    """Whether each reading is told."""
    told = []
    for at, reading in enumerate(readings):
        now = after(alert, reading, at)
        told.append(has_fired(alert, now))
        alert = now
    return told


def test_balance_that_moves_around_its_threshold_tells_once() -> None:
    balances = [5_000, 1_001, 1_000, 999, 1_001, 1_099, 0, 1_100, 1_000, 900, 5_000, 1]
    told = fires(BALANCE, [Level(value) for value in balances])
    assert [value for value, is_told in zip(balances, told, strict=True) if is_told] == [1_000, 1_000, 1]


def test_balance_of_nothing() -> None:
    """A threshold of 0 fires at 0 and is armed by any credit."""
    assert fires(msgspec.structs.replace(BALANCE, threshold=0), [Level(1), Level(0), Level(0), Level(1), Level(0)]) == [
        False, True, False, False, True,
    ]  # fmt: skip


def test_share_of_a_limit_tells_once_a_window() -> None:
    def use(spent: int, day: int = 1, limit: int = 100) -> Level:
        return Level(spent, limit, day)

    assert fires(SHARE, [use(79), use(80), use(100), use(100, 2), use(10, 3), use(85, 3)]) == [
        False, True, False, True, False, True,
    ]  # fmt: skip
    raised = [use(80), use(80, limit=105), use(80, limit=112), use(90, limit=112)]
    assert fires(SHARE, raised) == [True, False, False, True]
    assert fires(SHARE, [Level(10**9), Level(0)]) == [False, False]


@given(st.lists(st.integers(0, 3_000), max_size=60))
def test_balance_never_tells_twice_without_rising(values: list[int]) -> None:
    """Between two tellings a balance is a tenth above the threshold; and whenever it is at or below it, it has been told."""
    alert, has_risen = BALANCE, True
    for at, value in enumerate(values):
        now = after(alert, Level(value), at)
        has_risen |= value >= 1_100
        if has_fired(alert, now):
            assert has_risen
            has_risen = False
        assert value > 1_000 or now.state == "fired"
        alert = now
