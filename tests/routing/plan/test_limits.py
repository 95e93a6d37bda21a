"""What a caller reads of limits: who is limited, until when, and that no figure in a header is impossible."""

import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.plan.limits import WAIT_S_MAX, duration, limit_headers, limited, unverifiable
from usage.limit import UNITS, Unit

GO = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?\Z")


def seconds_of(text: str) -> float:
    """A reader of Go's durations, as OpenAI's clients have one."""
    found = GO.match(text)
    assert found is not None, text
    hours, minutes, seconds, milliseconds = (float(each or 0) for each in found.groups())
    return hours * 3_600 + minutes * 60 + seconds + milliseconds / 1_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.0004, "0s"),
        (0.012, "12ms"),
        (0.9996, "1s"),
        (1.0, "1s"),
        (1.5, "1.5s"),
        (59.9996, "1m0s"),
        (60.0, "1m0s"),
        (360.0, "6m0s"),
        (3_599.0, "59m59s"),
        (3_600.0, "1h0m0s"),
        (7_261.25, "2h1m1.25s"),
    ],
)
def test_duration_is_written_as_go_writes_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 1e6))
def test_duration_is_read_back(seconds: float) -> None:
    """To the millisecond."""
    assert abs(seconds_of(duration(seconds)) - seconds) <= 0.0005 + 1e-9


@given(st.sampled_from(UNITS), st.integers(1, 10**12), st.integers(-(10**12), 10**13))
def test_headers_tell_what_is_possible(unit: Unit, allowed: int, used: int) -> None:
    """Whatever an edge believes to be used: never less than nothing is left, never more than all, and a minute mends it."""
    limit, left, reset = (value.decode() for _, value in limit_headers(unit, allowed, used))
    assert int(limit) == allowed
    assert int(left) == allowed - min(max(used, 0), allowed)
    assert 0 <= seconds_of(reset) <= 60


@pytest.mark.parametrize("unit", get_args(Unit))
@pytest.mark.parametrize(
    ("scope", "whose"), [("key:abc", "this key"), ("account:acme", "this account"), ("provider:p", "the provider p")]
)
@pytest.mark.parametrize(("cost", "is_hopeless"), [(1, False), (100, False), (101, True)])
def test_refusal_says_which_limit_and_whose(unit: Unit, scope: str, whose: str, cost: int, is_hopeless: bool) -> None:
    """What alone is too much stays so: nobody is told to wait for it."""
    refusal = limited(scope, unit, 100, 7, 30.0, cost, 12.0)
    assert (refusal.status, refusal.code, refusal.is_hopeless) == (429, "rate_limit_exceeded", is_hopeless)
    assert (refusal.retry_after_s is None) is is_hopeless
    assert f"of {whose}: Limit 100, Remaining 7, Requested {cost}" in refusal.message
    assert ("try again in 12s" in refusal.message) is not is_hopeless
    assert refusal.type == ("tokens" if unit == "tokens" else "requests")


@pytest.mark.parametrize(("wait_s", "told_s"), [(-1.0, 0.05), (0.0, 0.05), (0.06, 0.06), (59.0, 59.0), (61.0, WAIT_S_MAX)])
def test_wait_is_one_that_clients_obey(wait_s: float, told_s: float) -> None:
    """Neither nothing at all, which would be asked again at once, nor longer than SDKs listen to."""
    assert limited("key:a", "requests", 10, 0, 0.0, 1, wait_s).retry_after_s == told_s


@pytest.mark.parametrize("unit", get_args(Unit))
@pytest.mark.parametrize("kind", ["key", "account"])
def test_limit_that_cannot_be_verified_is_no_fault_of_the_caller(unit: Unit, kind: str) -> None:
    """A hard limit without a collector: a 503 with a time to come back, never a 429."""
    refusal = unverifiable(f"{kind}:x", unit)
    assert (refusal.status, refusal.code, refusal.retry_after_s) == (503, "limit_unverifiable", 2.0)
    assert f"limit of this {kind} cannot be verified" in refusal.message
