"""A rate in integer nanoseconds, and what limits can be written as."""

import msgspec
import pytest

from usage.limit import NAMES, NO_LIMITS, NO_MODEL, PERIOD_NS, Gcra, LimitTerms, burst_of, narrowed, overlaid

SECOND = 1_000_000_000


def admitted(rate: Gcra, seconds: int, cost: int = 1, step_ns: int = SECOND // 100) -> tuple[int, Gcra]:
    total = 0
    for now_ns in range(0, seconds * SECOND, step_ns):
        after = rate.after_admit(now_ns, cost)
        if after is not None:
            rate, total = after, total + cost
    return total, rate


@pytest.mark.parametrize(("limit", "cost"), [(60, 1), (7, 1), (600, 3), (100_000, 977), (1_000_000_007, 999_983)])
def test_rate_is_never_exceeded_and_nearly_reached(limit: int, cost: int) -> None:
    """In any minute the limit and its burst at most, whatever the numbers; rounding is always to the strict side."""
    total, _ = admitted(Gcra(limit, burst_of(limit)), 60, cost, SECOND // 50)
    assert total <= limit + max(burst_of(limit), cost)
    assert total >= min(limit * 9 // 10, 50 * 60 * cost * 9 // 10)


def test_rate_says_when_it_admits() -> None:
    """After `wait_ns` it does, and a nanosecond earlier it does not."""
    rate = Gcra(60, 2)
    for _ in range(2):
        after = rate.after_admit(0, 1)
        assert after is not None
        rate = after
    assert rate.after_admit(0, 1) is None
    assert rate.free(0) == 0
    wait_ns = rate.wait_ns(0, 1)
    assert wait_ns == SECOND
    assert rate.after_admit(wait_ns - 1, 1) is None
    assert rate.after_admit(wait_ns, 1) is not None
    assert rate.free(PERIOD_NS) == 2


def test_cost_above_the_burst_is_paid_off() -> None:
    """It is admitted when nothing was used, and what follows waits for as long as the rate takes to pay it."""
    after = Gcra(60, 6).after_admit(0, 30)
    assert after is not None
    assert after.after_admit(SECOND, 1) is None
    assert after.after_admit(25 * SECOND, 1) is not None


def test_correction_may_leave_a_debt() -> None:
    """More than was debited is owed; less comes free, but never more than the burst."""
    after = Gcra(60, 6).after_correction(0, 20)
    assert after.free(0) == 0
    assert after.after_correction(0, -20).free(0) == 6
    assert after.after_correction(0, -50).free(0) == 6


def test_own_limits_stand_before_defaults() -> None:
    """What is set for one key replaces the default of that limit alone."""
    default = LimitTerms(requests_per_minute=10, concurrent_requests=5, shadow=True)
    assert overlaid(None, default) is default
    assert overlaid(NO_LIMITS, default) is default
    own = overlaid(LimitTerms(requests_per_minute=100, hard=True), default)
    assert own == LimitTerms(requests_per_minute=100, concurrent_requests=5, hard=True)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ((), ("a/*",), ("a/*",)),
        (("a/*",), (), ("a/*",)),
        (("a/*",), ("a/b",), ("a/b",)),
        (("a/b*", "c/d"), ("a/*", "c/*"), ("a/b*", "c/d")),
        (("*",), ("x/y",), ("x/y",)),
        (("a/b",), ("c/d",), NO_MODEL),
    ],
)
def test_models_of_key_and_account_are_both_needed(one: tuple[str, ...], other: tuple[str, ...], both: tuple[str, ...]) -> None:
    assert narrowed(one, other) == both


def test_limits_that_cannot_be_meant_are_named() -> None:
    assert "requests_per_minute is 0" in LimitTerms(requests_per_minute=0).problem()
    assert "models" in LimitTerms(models=("a,b",)).problem()
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"requests_per_min": 5}', type=LimitTerms)


def test_limit_of_each_unit_is_its_own() -> None:
    """By the names that a caller reads in a refusal."""
    terms = LimitTerms(requests_per_minute=1, tokens_per_minute=2, concurrent_requests=3)
    assert sorted(terms.of(unit) or 0 for unit in NAMES) == [1, 2, 3]
    assert [LimitTerms().of(unit) for unit in NAMES] == [None] * len(NAMES)
    assert LimitTerms().is_empty
    assert not terms.is_empty
