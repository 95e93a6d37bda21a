"""What comes back: a tenth of its share at once, all of it after half a minute, whatever the policy; alone, as ever."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.failures.cause import Cause
from routing.failures.failure import Failure, Kind, Sent, Source
from routing.plan.health import Health, Scopes, end
from routing.plan.plan import Plan, Routes
from routing.plan.preferences import Preferences
from routing.routes.restoration import RESTORE_S, SHARE_MIN, Restoration
from routing.table.config import parse

SCOPES = Scopes("p", "p k", "p k m")
FAILED = Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 503, told_cause=Cause.OVERLOADED)
BROKEN = Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 500, told_cause=Cause.UNAVAILABLE)
LIMITED = Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 429, 3.0, told_cause=Cause.RATE_LIMITED)
ROLLS = [(number + 0.5) / 4_000 for number in range(4_000)]
TABLE = """
[providers.a]
base_url = "https://a.example"
api_keys = ["env:A1", "env:A2"]
models.m = { input = "2", output = "2" }
[providers.b]
base_url = "https://b.example"
api_key = "env:B"
models.m = { input = "3", output = "3" }
[providers.c]
base_url = "https://c.example"
api_key = "env:C"
models.m = { input = "1", output = "1" }
[aliases]
both = ["a/m", "b/m"]
[routes.weighted]
targets = [{ to = "b/m", weight = 6 }, { to = "c/m", weight = 4 }]
[routes.cheapest]
targets = ["b/m", "c/m"]
balance = "cheapest"
[routes.fastest]
targets = ["b/m", "c/m"]
balance = "fastest"
[routes.ordered]
targets = ["b/m", "c/m"]
[routes.fallback]
targets = ["b/m"]
fallback = ["c/m"]
[routes.sticky]
targets = [{ to = "b/m", weight = 6 }, { to = "c/m", weight = 4 }]
sticky_s = 600
"""
ROUTES = Routes(parse(TABLE), frozenset({"env:A1", "env:A2", "env:B", "env:C"}))


def healed(since_s: float = 100.0, accounts: tuple[str, ...] | None = None) -> Health:
    return Health(failed_s=90.0, accounts=(), restoration=Restoration(since_s, accounts))


def first(model_id: str, health: Mapping[str, Health], now_s: float, **more: Any) -> Counter[str]:
    """Which target is asked first, with which key, of evenly spread rolls; every plan has all that is well."""
    asked: Counter[str] = Counter()
    for roll in ROLLS:
        planned = ROUTES.plan(model_id, (), health, now_s, roll, **more)
        assert isinstance(planned, Plan)
        asked[f"{planned.attempts[0].model.id} {planned.attempts[0].key_ref}"] += 1
    return asked


def share(model_id: str, name: str, health: Mapping[str, Health], now_s: float, **more: Any) -> float:
    return first(model_id, health, now_s, **more)[name] / len(ROLLS)


@pytest.mark.parametrize("failure", [FAILED, BROKEN])
def test_target_that_was_closed_comes_back_by_degrees(failure: Failure) -> None:
    """Five failures close it; the success behind them opens it to a tenth, and half a minute later nothing is known of it."""
    health: dict[str, Health] = {}
    for number in range(5):
        health |= dict(end(health, SCOPES, failure, 100.0 + number, 99.5 + number, "acct"))  # type: ignore[arg-type]
    assert health[SCOPES.target].is_open(104.0, "acct")
    ((scope, back),) = end(health, SCOPES, None, 110.0, 109.0, "acct")
    assert scope == SCOPES.target
    assert back is not None
    assert back.restoration == Restoration(110.0, None if failure is FAILED else ("acct",))
    assert not back.is_open(110.0, "acct")
    assert not back.is_half_open(110.0, "acct")
    assert not back.is_due(999.0)
    assert end({scope: back}, SCOPES, None, 120.0, 119.0, "acct") == ()
    assert end({scope: back}, SCOPES, None, 140.0, 139.0, "acct") == ((scope, None),)
    assert (back.is_restored(139.0), back.is_restored(140.0)) == (False, True)


def test_wait_that_was_stated_is_over_with_its_end() -> None:
    """A provider that said "in three seconds" has said that all may come then; what never was closed has nothing to come back."""
    limited = Health(accounts=()).after_failure(LIMITED, 100.0)
    assert limited.after_success(110.0, 109.0, "acct") is None
    once = Health(accounts=()).after_failure(FAILED, 100.0)
    assert once.after_success(110.0, 109.0, "acct") is None


def test_one_failure_does_not_begin_the_return_anew() -> None:
    """It goes on from where it was; what closes it again does begin it anew."""
    back = healed(100.0).after_failure(FAILED, 105.0, 104.0)
    assert back.after_success(107.0, 106.0, "acct") == Health(failed_s=105.0, accounts=(), restoration=Restoration(100.0))
    closed = back
    for number in range(4):
        closed = closed.after_failure(FAILED, 106.0 + number, 105.5 + number)
    assert closed.is_open(110.0)
    again = closed.after_success(120.0, 119.0, "acct")
    assert again is not None
    assert again.restoration == Restoration(120.0)


@given(st.floats(0, 1e9), st.floats(-10, 100))
def test_share_grows_from_a_tenth_to_all(since_s: float, passed_s: float) -> None:
    """Never less than a tenth, never more than all, never falling."""
    restoration = Restoration(since_s)
    now, later = restoration.share(since_s + passed_s, "x"), restoration.share(since_s + passed_s + 1.0, "x")
    assert SHARE_MIN <= now <= later <= 1.0
    assert restoration.share(since_s + RESTORE_S, "x") == 1.0


def test_share_is_that_of_who_was_kept_out() -> None:
    """An account that it always served is not held back; the one whose requests failed is."""
    health = {"b env:B m": healed(100.0, ("bad",))}
    assert share("ordered", "b/m env:B", health, 100.0, account="good") == 1.0
    assert share("ordered", "b/m env:B", health, 100.0, account="bad") == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(("route", "whole"), [("weighted", 0.6), ("ordered", 1.0), ("both", 1.0), ("sticky", 0.6)])
@pytest.mark.parametrize(
    ("now_s", "part"), [(100.0, 0.1), (110.0, 0.4), (115.0, 0.55), (125.0, 0.85), (130.0, 1.0), (500.0, 1.0)]
)
def test_return_of_a_target_under_each_policy(route: str, whole: float, now_s: float, part: float) -> None:
    """It gets the part of the share that it would get; the rest goes to the others, and it stands behind them."""
    name = "a" if route == "both" else "b"
    asked = first(route, {name: healed()}, now_s)
    got = sum(count for target, count in asked.items() if target.startswith(f"{name}/m"))
    assert got / len(ROLLS) == pytest.approx(part * whole, abs=0.012)
    planned = ROUTES.plan(route, (), {name: healed()}, 100.0, 0.35)
    assert isinstance(planned, Plan)
    assert name in {attempt.provider.name for attempt in planned.attempts}


@pytest.mark.parametrize(("route", "speeds"), [("cheapest", {}), ("fastest", {"b/m": 2.0, "c/m": 1.0})])
def test_return_of_the_cheapest_and_the_fastest(route: str, speeds: dict[str, float]) -> None:
    """The best of them is not run to at once."""
    assert share(route, "c/m env:C", {}, 100.0, speeds=speeds) == 1.0
    health = {"c": healed()}
    assert share(route, "c/m env:C", health, 100.0, speeds=speeds) == pytest.approx(0.1, abs=0.012)
    assert share(route, "c/m env:C", health, 120.0, speeds=speeds) == pytest.approx(0.7, abs=0.012)
    assert share(route, "c/m env:C", health, 130.0, speeds=speeds) == 1.0


def test_return_of_a_key() -> None:
    """A key of two gets a tenth of its half; while the provider as a whole comes back, its keys share that tenth."""
    asked = first("a/m", {"a env:A1": healed()}, 100.0)
    assert asked["a/m env:A1"] / len(ROLLS) == pytest.approx(0.05, abs=0.01)
    asked = first("both", {"a": healed()}, 100.0)
    assert (asked["a/m env:A1"] + asked["a/m env:A2"]) / len(ROLLS) == pytest.approx(0.1, abs=0.012)


def test_return_of_what_is_alone() -> None:
    """A lone target, the last that is well, all at once: asked as ever. A fallback is no reason to wait."""
    assert share("c/m", "c/m env:C", {"c": healed()}, 100.0) == 1.0
    closed = Health(5, 900.0, Cause.UNAVAILABLE)
    assert share("ordered", "b/m env:B", {"b": healed(), "c": closed}, 100.0) == 1.0
    assert share("fallback", "b/m env:B", {"b": healed()}, 100.0) == 1.0
    asked = first("both", {"a": healed(), "b": healed(100.25)}, 100.0)
    assert sum(asked.values()) == len(ROLLS)


def test_return_behind_what_a_caller_says() -> None:
    """Its own `models`, `order` and `sort` are obeyed: what stands behind is asked where the first fails, not before."""
    for wishes, model_id in (
        (Preferences(models=("c/m",)), "b/m"),
        (Preferences(order=("b",)), "ordered"),
        (Preferences(sorts_by_price=True), "weighted"),
    ):
        back = "c" if wishes.sorts_by_price else "b"
        for roll in ROLLS[::97]:
            planned = ROUTES.plan_with(model_id, wishes, (), {back: healed()}, 100.0, roll)
            assert isinstance(planned, Plan)
            assert planned.attempts[0].provider.name == back
    left = Preferences(ignore=("a",))
    asked = Counter(
        planned.attempts[0].provider.name
        for roll in ROLLS
        if isinstance(planned := ROUTES.plan_with("ordered", left, (), {"b": healed()}, 100.0, roll), Plan)
    )
    assert asked["b"] / len(ROLLS) == pytest.approx(0.1, abs=0.012)


def test_conversation_that_is_led_around_stays_there() -> None:
    """What it keeps is asked first only within the share of what comes back."""
    health = {"b": healed()}
    assert share("sticky", "b/m env:B", health, 100.0, kept="b/m") == pytest.approx(0.1, abs=0.012)
    assert share("sticky", "c/m env:C", health, 100.0, kept="c/m") == 1.0


def test_return_leaves_the_plan_as_it_was_afterwards() -> None:
    """When all is given back, the plan is the one that was laid out before."""
    assert ROUTES.plan("both", (), {"a": healed()}, 130.0, 0.3) is ROUTES.plan("both", (), {}, 130.0, 0.3)
