"""Health: what opens a breaker, for how long, how it closes again, and whose fault is whose."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.failure import Failure, Kind, Sent, Source
from routing.health import (
    COOL_DOWN_S,
    COOL_DOWN_S_MAX,
    FAILURES_MAX,
    KEY_COOL_DOWN_S,
    KEY_COOL_DOWN_S_MAX,
    TRIAL_S,
    Health,
    Scopes,
    begin,
    blamed,
    end,
)

SCOPES = Scopes("p", "p env:K", "p env:K m")
UNLISTED = Scopes("p", "p env:K", "p env:K *", is_listed=False)


def answer(status: int, retry_after_s: float | None = None) -> Failure:
    return Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, status, retry_after_s)


def after(failures: list[Failure], now_s: float = 100.0) -> Health:
    health = Health()
    for failure in failures:
        health = health.after_failure(failure, now_s)
    return health


@pytest.mark.parametrize(
    ("kind", "status", "scope"),
    [
        (Kind.CONNECT, 0, SCOPES.provider),
        (Kind.TLS, 0, SCOPES.provider),
        (Kind.TIMEOUT_CONNECT, 0, SCOPES.provider),
        (Kind.TIMEOUT_FIRST_BYTE, 0, SCOPES.target),
        (Kind.BROKEN, 0, SCOPES.target),
        (Kind.TRUNCATED, 0, SCOPES.target),
        (Kind.STATUS, 401, SCOPES.key),
        (Kind.STATUS, 402, SCOPES.key),
        (Kind.STATUS, 403, SCOPES.target),
        (Kind.STATUS, 404, SCOPES.target),
        (Kind.STATUS, 429, SCOPES.target),
        (Kind.STATUS, 408, SCOPES.target),
        (Kind.STATUS, 503, SCOPES.target),
        (Kind.STREAM_ERROR, 0, SCOPES.target),
        (Kind.STREAM_ERROR, 400, None),
        (Kind.STATUS, 400, None),
        (Kind.STATUS, 413, None),
        (Kind.STATUS, 422, None),
        (Kind.STATUS, 302, None),
        (Kind.TIMEOUT_TOTAL, 0, None),
        (Kind.TOO_LARGE, 0, None),
    ],
)
def test_blame(kind: Kind, status: int, scope: str | None) -> None:
    """What a provider is to blame for, and how far it reaches; a caller's own fault never reaches anywhere."""
    assert blamed(SCOPES, Failure(kind, Source.UPSTREAM, Sent.REQUEST, status)) == scope
    assert blamed(SCOPES, Failure(kind, Source.CLIENT, Sent.REQUEST, status)) is None


def test_blame_is_decided_for_every_kind() -> None:
    """No combination is forgotten, and none blames a scope that is not the attempt's."""
    for kind, source, status in itertools.product(Kind, Source, (0, 200, 400, 401, 429, 500)):
        assert blamed(SCOPES, Failure(kind, source, Sent.REQUEST, status)) in (None, *SCOPES.all)


def test_blame_of_an_unknown_kind() -> None:
    """A kind that nobody thought of is a bug that is heard."""
    unknown: Any = "unknown"
    with pytest.raises(AssertionError):
        blamed(SCOPES, Failure(unknown, Source.UPSTREAM, Sent.REQUEST))


def test_blame_of_a_made_up_model() -> None:
    """A 404 for a model that no table lists is the caller's doing: it must not close the others that are not listed."""
    assert blamed(UNLISTED, answer(404)) is None
    assert blamed(UNLISTED, answer(500)) == UNLISTED.target


def test_breaker_opens_after_failures_in_a_row() -> None:
    """Fewer failures than the limit leave it closed; the last opens it; each further one doubles the time, up to the most."""
    assert not after([answer(500)] * (FAILURES_MAX - 1)).is_open(100.0)
    opened = after([answer(500)] * FAILURES_MAX)
    assert opened.is_open(100.0)
    assert opened.open_until_s == 100.0 + COOL_DOWN_S
    assert after([answer(500)] * (FAILURES_MAX + 2)).open_until_s == 100.0 + 4 * COOL_DOWN_S
    assert after([answer(500)] * 5_000).open_until_s == 100.0 + COOL_DOWN_S_MAX
    assert opened.after_success(101.0) == Health()


def test_breaker_respects_retry_after() -> None:
    """A 429 with a time opens at once for that time, within bounds; without one it counts like any failure."""
    assert after([answer(429, 7.0)]).open_until_s == 107.0
    assert after([answer(429, 9_999.0)]).open_until_s == 100.0 + COOL_DOWN_S_MAX
    assert not after([answer(429)]).is_open(100.0)
    assert after([answer(429)] * FAILURES_MAX).is_open(100.0)
    assert after([answer(503, 30.0)] * FAILURES_MAX).open_until_s == 130.0


def test_breaker_of_a_rejected_key() -> None:
    """A key that is refused rests at once, and longer each time."""
    assert after([answer(401)]).open_until_s == 100.0 + KEY_COOL_DOWN_S
    assert after([answer(402)] * 2).open_until_s == 100.0 + 2 * KEY_COOL_DOWN_S
    assert after([answer(401)] * 50).open_until_s == 100.0 + KEY_COOL_DOWN_S_MAX


@given(
    st.lists(
        st.tuples(st.sampled_from([401, 403, 404, 429, 500, 503]), st.none() | st.floats(0, 1e6), st.floats(0, 100)), max_size=30
    )
)
def test_breaker_never_closes_early_nor_for_ever(steps: list[tuple[int, float | None, float]]) -> None:
    """Whatever fails and when: the time is never shortened by a failure, and never longer than the most."""
    health, now_s = Health(), 0.0
    for status, retry_after_s, passed_s in steps:
        now_s += passed_s
        following = health.after_failure(answer(status, retry_after_s), now_s)
        assert following.open_until_s >= health.open_until_s
        assert following.open_until_s <= now_s + KEY_COOL_DOWN_S_MAX
        health = following


def test_trial() -> None:
    """When the time is over one request tries; until it has ended, or its own time is over, the others wait."""
    opened = after([answer(500)] * FAILURES_MAX)
    now_s = opened.open_until_s
    assert opened.is_half_open(now_s)
    assert not opened.is_open(now_s)
    health = {SCOPES.target: opened}
    health.update((scope, each) for scope, each in begin(health, SCOPES, now_s) if each is not None)
    assert health[SCOPES.target].is_open(now_s)
    assert not health[SCOPES.target].is_open(now_s + TRIAL_S)
    assert begin(health, SCOPES, now_s) == ()
    assert end(health, SCOPES, None, now_s) == ((SCOPES.target, None),)
    ((scope, failed),) = end(health, SCOPES, answer(500), now_s)
    assert scope == SCOPES.target
    assert failed is not None
    assert failed.failures == FAILURES_MAX + 1


def test_notes_of_the_healthy_cost_nothing() -> None:
    """With nothing wrong there is nothing to note, and a failure that blames nobody changes nothing."""
    assert begin({}, SCOPES, 0.0) == ()
    assert end({}, SCOPES, None, 0.0) == ()
    assert end({"other": Health(1)}, SCOPES, None, 0.0) == ()
    assert end({}, SCOPES, answer(400), 0.0) == ()
    assert end({}, SCOPES, answer(500), 0.0) == ((SCOPES.target, Health(1, 0.0, 500)),)
