"""Health: what opens a breaker, for whom and for how long, how it closes again, and whose fault is whose."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.failures.cause import Cause
from routing.failures.failure import Failure, Kind, Sent, Source
from routing.plan.health import (
    ACCOUNT_FAILURES_MAX,
    COOL_DOWN_S,
    COOL_DOWN_S_MAX,
    EXHAUSTED_S,
    EXHAUSTED_S_MAX,
    FAILURES_MAX,
    KEY_COOL_DOWN_S,
    KEY_COOL_DOWN_S_MAX,
    LIMITED_S_MAX,
    TRIAL_S,
    Health,
    Scopes,
    begin,
    blamed,
    end,
)
from routing.routes.restoration import Restoration

SCOPES = Scopes("p", "p env:K", "p env:K m")
UNLISTED = Scopes("p", "p env:K", "p env:K *", is_listed=False)
WELL = Health(accounts=())


def answer(status: int, retry_after_s: float | None = None, cause: Cause | None = None) -> Failure:
    return Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, status, retry_after_s, told_cause=cause)


def after(failures: list[Failure], now_s: float = 100.0, account: str = "a") -> Health:
    """One after the other, each of an attempt that began when the last had ended."""
    health = WELL
    for failure in failures:
        health = health.after_failure(failure, now_s, account=account)
    return health


def together(failures: list[Failure], began_s: float = 99.0, ended_s: float = 100.0, account: str = "a") -> Health:
    """All in flight at once."""
    health = WELL
    for number, failure in enumerate(failures):
        health = health.after_failure(failure, ended_s + number / 1000, began_s, account)
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
        (Kind.STATUS, 403, SCOPES.target),
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


@pytest.mark.parametrize(
    ("cause", "scope"),
    [
        (Cause.CREDENTIALS, SCOPES.key),
        (Cause.EXHAUSTED, SCOPES.key),
        (Cause.UNAFFORDABLE, None),
        (Cause.FORBIDDEN, SCOPES.target),
        (Cause.MODEL_GONE, SCOPES.target),
        (Cause.TOO_LONG, None),
        (Cause.MODERATED, None),
        (Cause.UNSUPPORTED, None),
        (Cause.RATE_LIMITED, SCOPES.target),
    ],
)
def test_blame_goes_by_the_cause(cause: Cause, scope: str | None) -> None:
    """A 400 about our balance blames the key, and a 403 about content blames nobody: the status does not decide."""
    for status in (400, 403, 429):
        assert blamed(SCOPES, answer(status, cause=cause)) == scope


def test_breaker_opens_after_failures_in_a_row() -> None:
    """Fewer failures than the limit leave it closed; the last opens it; each further one doubles the time, up to the most."""
    assert not after([answer(503)] * (FAILURES_MAX - 1)).is_open(100.0)
    opened = after([answer(503)] * FAILURES_MAX)
    assert opened.is_open(100.0)
    assert opened.open_until_s == 100.0 + COOL_DOWN_S
    assert after([answer(503)] * (FAILURES_MAX + 2)).open_until_s == 100.0 + 4 * COOL_DOWN_S
    assert after([answer(503)] * 5_000).open_until_s == 100.0 + COOL_DOWN_S_MAX


@pytest.mark.parametrize("failure", [answer(503), answer(500), answer(429), Failure(Kind.CONNECT, Source.UPSTREAM, Sent.NOTHING)])
def test_failures_in_flight_together_are_one(failure: Failure) -> None:
    """A hundred at once open nothing; five bursts do."""
    health = together([failure] * 100)
    assert (health.failures, health.open_until_s) == (1, 0.0)
    for burst in range(1, FAILURES_MAX):
        for number in range(100):
            health = health.after_failure(failure, 100.0 + burst + number / 1000, 99.9 + burst, "a")
    assert (health.failures, health.is_open(105.0, "a")) == (FAILURES_MAX, True)


def test_rate_limit_is_taken_as_said() -> None:
    """Fourteen 429s at once that say "1 s" close it for one second, not for sixty; and then all may come, not one trial."""
    health = together([answer(429, 1.0)] * 14)
    assert health.open_until_s == pytest.approx(101.0, abs=0.02)
    assert health.failures == 0
    assert not health.is_half_open(102.0)
    again = health.after_failure(answer(429, 1.0), 102.0, 101.5, "a")
    assert again.open_until_s == 103.0
    assert after([answer(429, 7.0)] * 50).open_until_s == 107.0
    assert after([answer(429, 1e6)]).open_until_s == 100.0 + LIMITED_S_MAX
    assert after([answer(429, 5.0), answer(429, 1.0)]).open_until_s == 105.0


def test_rate_limit_without_a_time_counts_like_any_failure() -> None:
    """Five in a row, one after the other, open it; a stated wait of what is overloaded is kept within bounds."""
    assert not after([answer(429)]).is_open(100.0)
    assert after([answer(429)] * FAILURES_MAX).is_open(100.0)
    assert after([answer(429, 0.0)] * FAILURES_MAX).is_open(100.0)
    assert after([answer(503, 30.0)] * FAILURES_MAX).open_until_s == 130.0


def test_rejected_key() -> None:
    """A key that is refused rests at once, and longer each time; eight refusals at once are one."""
    assert after([answer(401)]).open_until_s == 100.0 + KEY_COOL_DOWN_S
    assert after([answer(401)] * 2).open_until_s == 100.0 + 2 * KEY_COOL_DOWN_S
    assert after([answer(401)] * 50).open_until_s == 100.0 + KEY_COOL_DOWN_S_MAX
    assert together([answer(401)] * 8).open_until_s == 100.0 + KEY_COOL_DOWN_S


def test_exhausted_key() -> None:
    """Until the date that is named, else a quarter of an hour; however often it is said."""
    exhausted = answer(429, cause=Cause.EXHAUSTED)
    assert after([exhausted]).open_until_s == 100.0 + EXHAUSTED_S
    assert after([exhausted] * 9).open_until_s == 100.0 + EXHAUSTED_S
    assert after([answer(400, 86_400.0, Cause.EXHAUSTED)]).open_until_s == 100.0 + 86_400.0
    assert after([answer(400, 1e9, Cause.EXHAUSTED)]).open_until_s == 100.0 + EXHAUSTED_S_MAX
    assert after([answer(402, 1.0, Cause.EXHAUSTED)]).open_until_s == 100.0 + EXHAUSTED_S


CONTENT = [
    answer(500),
    answer(502),
    answer(403),
    answer(404),
    Failure(Kind.BROKEN, Source.UPSTREAM, Sent.REQUEST),
    Failure(Kind.TIMEOUT_FIRST_BYTE, Source.UPSTREAM, Sent.REQUEST),
]


@pytest.mark.parametrize("failure", CONTENT)
def test_what_content_can_cause_closes_it_to_that_account_only(failure: Failure) -> None:
    """However often one account's requests fail so, others are served."""
    health = after([failure] * 50, account="bad")
    assert health.is_open(100.0, "bad")
    assert not health.is_open(100.0, "good")
    assert not health.is_half_open(10_000.0, "good")
    assert health.is_half_open(10_000.0, "bad")


@pytest.mark.parametrize("failure", CONTENT)
def test_what_several_accounts_see_closes_it_to_all(failure: Failure) -> None:
    """Two accounts with their share of failures are no accident; one with many and one with one are."""
    accident = after([failure] * 50, account="bad").after_failure(failure, 100.0, account="unlucky")
    assert not accident.is_open(100.0, "good")
    shared = accident
    for _ in range(FAILURES_MAX - ACCOUNT_FAILURES_MAX):
        shared = shared.after_failure(failure, 100.0, account="unlucky")
    assert shared.is_open(100.0, "good")
    five = WELL
    for name in "abcde":
        five = five.after_failure(failure, 100.0, account=name)
    assert five.is_open(100.0, "good")


@given(st.lists(st.text(max_size=3), max_size=200))
def test_accounts_that_are_remembered_are_few(accounts: list[str]) -> None:
    """However many accounts fail, few are remembered."""
    health = WELL
    for account in accounts:
        health = health.after_failure(answer(500), 100.0, account=account)
    assert len(health.accounts or ()) <= FAILURES_MAX


def test_what_is_surely_the_providers_closes_it_to_all() -> None:
    """One failure that no content can cause, and it is nobody's own trouble any more."""
    assert after([answer(500)] * 4 + [answer(503)], account="a").is_open(100.0, "b")


@given(
    st.lists(
        st.tuples(st.sampled_from([401, 403, 404, 429, 500, 503]), st.none() | st.floats(0, 1e6), st.floats(0, 100)), max_size=30
    )
)
def test_breaker_never_closes_early_nor_for_ever(steps: list[tuple[int, float | None, float]]) -> None:
    """Whatever fails and when: the time is never shortened by a failure, and never longer than the most."""
    health, now_s = WELL, 0.0
    for status, retry_after_s, passed_s in steps:
        now_s += passed_s
        following = health.after_failure(answer(status, retry_after_s), now_s, now_s - 1.0)
        assert following.open_until_s >= health.open_until_s
        assert following.open_until_s <= now_s + LIMITED_S_MAX
        health = following


def test_trial() -> None:
    """When the time is over one request tries; until it has ended, or its own time is over, the others wait."""
    opened = after([answer(503)] * FAILURES_MAX)
    now_s = opened.open_until_s
    assert opened.is_half_open(now_s)
    assert not opened.is_open(now_s)
    health = {SCOPES.target: opened}
    health.update((scope, each) for scope, each in begin(health, SCOPES, now_s) if each is not None)
    assert health[SCOPES.target].is_open(now_s)
    assert not health[SCOPES.target].is_open(now_s + TRIAL_S)
    assert begin(health, SCOPES, now_s) == ()
    ((scope, healed),) = end(health, SCOPES, None, now_s)
    assert (scope, healed) == (SCOPES.target, Health(failed_s=100.0, accounts=(), restoration=Restoration(now_s)))
    ((scope, failed),) = end(health, SCOPES, answer(503), now_s)
    assert scope == SCOPES.target
    assert failed is not None
    assert failed.failures == FAILURES_MAX + 1


def test_free_trial() -> None:
    """It is due when the time is over, not again at once; one that went well admits one request; none closes anything."""
    closed = after([answer(401)])
    assert not closed.is_due(100.0)
    assert closed.is_due(160.0)
    failed = closed.after_free_trial(160.0, went_well=False)
    assert not failed.is_due(161.0)
    assert failed.is_due(160.0 + KEY_COOL_DOWN_S)
    assert not failed.is_open(161.0)
    proved = failed.after_free_trial(300.0, went_well=True)
    assert proved.is_proved
    assert not proved.is_due(9_999.0)
    assert not proved.after_trial(301.0).is_proved
    assert not after([answer(429, 1.0)]).is_due(500.0)


def test_success_heals_only_what_came_before_it() -> None:
    """A success of an attempt that began before the last failure tells of a time before: it heals nothing."""
    health = {SCOPES.target: after([answer(503)] * 3)}
    assert end(health, SCOPES, None, 101.0, 99.0) == ()
    assert end(health, SCOPES, None, 101.0, 100.5) == ((SCOPES.target, None),)


def test_notes_of_the_healthy_cost_nothing() -> None:
    """With nothing wrong there is nothing to note, and a failure that blames nobody changes nothing."""
    assert begin({}, SCOPES, 0.0) == ()
    assert end({}, SCOPES, None, 0.0) == ()
    assert end({"other": Health(1)}, SCOPES, None, 0.0) == ()
    assert end({}, SCOPES, answer(400), 0.0) == ()
    ((scope, health),) = end({}, SCOPES, answer(503), 7.0)
    assert (scope, health) == (SCOPES.target, Health(1, 0.0, Cause.OVERLOADED, 7.0))
