"""The share of failures that opens a breaker: for whom, from how many requests on; and one account closes nothing for others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.failures.cause import Cause
from routing.failures.failure import Failure, Kind, Sent, Source
from routing.plan.health import Health, Scopes, end
from routing.plan.window import ACCOUNTS_MAX, REQUESTS_MIN, Window
from routing.routes.restoration import Restoration
from routing.routes.route import Breaker

SCOPES = Scopes("p", "p k", "p k m")
HALF = Breaker(failure_rate=0.5, window_s=30.0)
FAILED = Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 500, told_cause=Cause.UNAVAILABLE)
OVERLOADED = Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 503, told_cause=Cause.OVERLOADED)
LIMITED = Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 429, 1.0, told_cause=Cause.RATE_LIMITED)


class Target:
    """One target of a policy, to which requests are sent one after another, ten a second."""

    def __init__(self, breaker: Breaker = HALF) -> None:
        self.breaker = breaker
        self.now_s = 100.0
        self.known: dict[str, Health] = {}

    def ends(self, failure: Failure | None, account: str = "a", began_ago_s: float = 0.05) -> None:
        self.now_s += 0.1
        for scope, health in end(self.known, SCOPES, failure, self.now_s, self.now_s - began_ago_s, account, self.breaker):
            if health is None:
                self.known.pop(scope, None)
            else:
                self.known[scope] = health

    def is_open(self, account: str = "a") -> bool:
        return any(each.is_open(self.now_s, account) for each in self.known.values())


@pytest.mark.parametrize("failure", [FAILED, OVERLOADED])
def test_share_of_failures_opens_where_they_never_come_in_a_row(failure: Failure) -> None:
    """Every second request fails: five in a row never come, yet from ten requests on it is closed; for the usual time."""
    target, plain = Target(), Target(Breaker())
    for number in range(REQUESTS_MIN):
        assert not target.is_open()
        for each in (target, plain):
            each.ends(None if number % 2 else failure)
    for each in (target, plain):
        each.ends(failure)
    assert target.is_open()
    assert not plain.is_open()
    (health,) = target.known.values()
    assert health.open_until_s == pytest.approx(target.now_s + HALF.cool_down_s)


def test_share_below_the_rate_opens_nothing() -> None:
    """One of three fails for as long as it likes; and what has ended well for a whole window is not remembered."""
    target = Target()
    for number in range(300):
        target.ends(FAILED if number % 3 == 0 else None)
        assert not target.is_open()
    for _ in range(310):
        target.ends(None)
    assert target.known == {}


def test_share_of_one_account_closes_nothing_for_others() -> None:
    """What content can bring about is that account's own, however much of all it asks, and only as long as nobody is served."""
    target = Target()
    has_been_open = False
    for number in range(100):
        target.ends(FAILED, "bad")
        has_been_open |= target.is_open("bad")
        assert not target.is_open("good")
        if number % 4 == 0:
            target.ends(None, "good")
    assert has_been_open


def test_share_that_others_see_too_closes_to_all() -> None:
    """Without the account that failed most, half of what is left failed as well."""
    target = Target()
    for number in range(200):
        target.ends(FAILED if number % 2 else None, "abc"[number % 3])
        if target.is_open("unseen"):
            break
    assert target.is_open("unseen")


def test_share_counts_the_successes_of_the_account_that_failed_most() -> None:
    """Nine of ten requests are one account's and are served, but for one: a tenth that fails is no half of all."""
    target = Target()
    target.ends(FAILED, "large", began_ago_s=9.0)
    for number in range(20 * REQUESTS_MIN):
        target.ends(OVERLOADED if number % 10 == 0 else None, "large", began_ago_s=90.0)
        assert not target.is_open("large")


def test_share_counts_what_began_before_the_last_failure() -> None:
    """Under load most successes began before the last failure: they heal nothing, and are counted all the same."""
    target = Target()
    for number in range(200):
        target.ends(FAILED if number % 3 == 0 else None, "ab"[number % 2], began_ago_s=5.0)
        assert not target.is_open()
    for _ in range(2 * REQUESTS_MIN):
        target.ends(FAILED, "ab"[_ % 2], began_ago_s=5.0)
    assert target.is_open("a")


def test_share_is_of_one_window() -> None:
    """Failures of a window that is over are not added to those of the next; nor is a wait that was stated a failure."""
    target = Target()
    for _ in range(REQUESTS_MIN - 1):
        target.ends(OVERLOADED if _ % 2 == 0 else None)
    target.now_s += HALF.window_s
    target.ends(OVERLOADED)
    assert not target.is_open()
    target = Target()
    for _ in range(3 * REQUESTS_MIN):
        target.now_s += 1.0
        target.ends(LIMITED if _ % 2 else None)
        assert all(each.window is None for each in target.known.values())


def test_share_that_opened_is_tried_and_doubles() -> None:
    """What it opened is a breaker like any other: its trial heals it, or closes it for twice the time."""
    target = Target()
    for number in range(REQUESTS_MIN + 1):
        target.ends(None if number % 2 else OVERLOADED)
    (first,) = target.known.values()
    target.now_s = first.open_until_s + 1.0
    assert first.is_half_open(target.now_s, "a")
    target.ends(OVERLOADED)
    (second,) = target.known.values()
    assert second.open_until_s - target.now_s == pytest.approx(2 * HALF.cool_down_s)
    target.now_s = second.open_until_s + 1.0
    target.ends(None)
    (back,) = target.known.values()
    assert back == Health(failed_s=second.failed_s, accounts=(), breaker=HALF, restoration=Restoration(target.now_s))


@given(st.lists(st.tuples(st.text(max_size=3), st.booleans()), max_size=300))
def test_share_remembers_few_accounts(ended: list[tuple[str, bool]]) -> None:
    """Whoever asks: what was asked and what failed adds up, and few accounts are told apart."""
    window = Window(0.0)
    for account, failed in ended:
        window = window.after(account, failed=failed)
    assert len(window.counts) <= ACCOUNTS_MAX + 1
    assert sum(asked for _, asked, _ in window.counts) == len(ended)
    assert sum(failed for _, _, failed in window.counts) == sum(failed for _, failed in ended)
