"""Storms: repetitions within a budget, a throttle of our own, at most half of a route closed by failures, panic mode."""

import pytest

from routing.failures.cause import Cause
from routing.failures.failover import is_final, may_move, may_repeat
from routing.failures.failure import Failure, Kind, Sent, Source
from routing.plan.health import Health, Scopes, end
from routing.plan.plan import Plan, Routes
from routing.plan.refusal import Refusal
from routing.plan.storm import SHED_MAX, Storm, is_refusal_of_load, may_repeat_now, shed_failure
from routing.routes.route import Breaker
from routing.table.config import parse

TEXT = """
aliases.three = ["a/m", "b/m", "c/m"]
[providers.a]
base_url = "https://a.example"
api_key = "none"
models.m = { input = "1", output = "2" }
[providers.b]
like = "a"
base_url = "https://b.example"
api_key = "none"
[providers.c]
like = "a"
base_url = "https://c.example"
api_key = "none"
"""
ROUTES = Routes(parse(TEXT), frozenset())


def asked(health: dict[str, Health], model_id: str = "three") -> list[str]:
    planned = ROUTES.plan(model_id, (), health, 100.0, 0.0)
    return [] if isinstance(planned, Refusal) else list(dict.fromkeys(each.provider.name for each in planned.attempts))


def closed(until_s: float, cause: Cause | None = Cause.UNAVAILABLE) -> Health:
    return Health(5, until_s, cause)


def test_storm_of_failures_closes_at_most_half_of_a_route() -> None:
    """Beyond half, the one that would open next is asked behind what is well."""
    assert asked({"a": closed(150)}) == ["b", "c"]
    assert asked({"a": closed(150), "b": closed(120)}) == ["c", "b"]


def test_storm_that_closes_all_is_panic() -> None:
    """Somebody is asked, in the order of their opening; one target alone, and what has said when it will serve, is not."""
    assert asked({"a": closed(150), "b": closed(120), "c": closed(130)}) == ["b", "c"]
    assert asked({"a": closed(150)}, "a/m") == []
    for cause in (Cause.CREDENTIALS, Cause.EXHAUSTED, Cause.RATE_LIMITED):
        assert asked({name: closed(150, cause) for name in "abc"}) == []


def test_storm_budget_of_repetitions() -> None:
    """A fifth of what is under way, and three in any case."""
    assert [may_repeat_now(1, count, 0.2) for count in (0, 2, 3)] == [True, True, False]
    assert [may_repeat_now(100, count, 0.2) for count in (19, 20)] == [True, False]


def test_storm_throttle_follows_what_is_accepted() -> None:
    """Nothing is held back while half is accepted; nearly all when nothing is; and it ends with the storm."""
    storm = Storm(0, 0, 0.0)
    for _ in range(9):
        storm = storm.after(0.0, accepted=False)
    assert storm.shed(0.0) == 0.0
    for _ in range(91):
        storm = storm.after(0.0, accepted=False)
    assert storm.shed(0.0) == SHED_MAX
    assert storm.shed(120.0) == 0.0
    assert Storm(100, 50, 0.0).shed(0.0) == 0.0
    assert Storm(100, 20, 0.0).shed(0.0) == pytest.approx(60 / 101)
    assert not storm.after(0.0, accepted=True).is_over
    assert storm.after(300.0, accepted=True).is_over


def test_storm_throws_its_dice_once() -> None:
    """What is held back moves on, or is refused at once: to try again here would send more than the target takes."""
    for last in (
        Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 429),
        Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 503),
    ):
        assert may_repeat(last)
        assert (may_move(shed_failure(last)), may_repeat(shed_failure(last))) == (True, False)


def test_storm_breaker_is_the_policys() -> None:
    """So many failures, so long, doubled up to the longest."""
    scopes, breaker = Scopes("p", "p k", "p k m"), Breaker(2, 3.0, 5.0)
    failure = Failure(Kind.CONNECT, Source.UPSTREAM, Sent.NOTHING)
    health: dict[str, Health] = {}
    opened = []
    for now_s in (1.0, 2.0, 3.0, 4.0):
        (change,) = end(health, scopes, failure, now_s, now_s, "", breaker)
        assert change[1] is not None
        health[change[0]] = change[1]
        opened.append(max(change[1].open_until_s - now_s, 0.0))
    assert opened == [0.0, 3.0, 5.0, 5.0]


def test_storm_abandoned_attempt_moves_but_is_not_repeated() -> None:
    """Only where the house pays: any other request that may be billed is final."""
    left = Failure(Kind.TIMEOUT_FIRST_BYTE, Source.UPSTREAM, Sent.REQUEST, is_abandoned=True)
    assert (is_final(left), may_move(left), may_repeat(left)) == (False, True, False)
    assert is_final(Failure(Kind.TIMEOUT_FIRST_BYTE, Source.UPSTREAM, Sent.REQUEST))
    assert isinstance(ROUTES.plan("three", (), {}, 0.0, 0.0), Plan)


def test_storm_is_of_what_refuses_for_load_alone() -> None:
    """A wrong key, a broken line and a bad request are no sign of it."""
    for kind in Kind:
        for cause in Cause:
            failure = Failure(kind, Source.UPSTREAM, Sent.REQUEST, 500, told_cause=cause)
            is_load = kind in (Kind.STATUS, Kind.STREAM_ERROR) and cause in (Cause.RATE_LIMITED, Cause.OVERLOADED)
            assert is_refusal_of_load(failure) is is_load
