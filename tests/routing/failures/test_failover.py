"""Failover: what may be repeated, moved, stood in for; which attempt follows; and that nothing is bought twice."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.failures.cause import Cause
from routing.failures.failover import is_final, may_move, may_repeat, may_stand_in, next_attempt, reason_of, remedy_of
from routing.failures.failure import Failure, Kind, Sent, Source
from routing.plan.plan import Attempt, Plan, Routes
from routing.routes.route import FALLBACK_ON, REASONS
from routing.table.config import parse

STATUSES = (0, 301, 400, 401, 402, 403, 404, 408, 409, 410, 413, 415, 418, 422, 429, 498, 500, 502, 503, 504, 524, 529)
CAUSES = (None, *Cause)
EVERY = [Failure(*each[:4], told_cause=each[4]) for each in itertools.product(Kind, Source, Sent, STATUSES, CAUSES)]
QUESTIONS = (may_repeat, may_move, may_stand_in)

TEXT = """
[providers.a]
base_url = "https://a.example"
api_keys = ["env:A1", "env:A2", "env:A3", "env:A4", "env:A5"]
models.m = { input = "1", output = "2" }
models.n = { input = "1", output = "2" }
[providers.b]
base_url = "https://b.example"
api_key = "env:B"
models.m = { input = "1", output = "1" }
[providers.once]
base_url = "https://once.example"
api_keys = ["env:O1", "env:O2"]
attempts_max = 1
models.m = { input = "1", output = "1" }
[aliases]
ab = ["a/m", "b/m"]
an = ["a/m", "a/n"]
"""
ROUTES = Routes(parse(TEXT), frozenset({"env:A1", "env:A2", "env:A3", "env:A4", "env:A5", "env:B", "env:O1", "env:O2"}))


def answer(cause: Cause, status: int = 400, wait_s: float | None = None) -> Failure:
    return Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, status, wait_s, told_cause=cause)


def planned(model_id: str) -> tuple[Attempt, ...]:
    plan = ROUTES.plan(model_id, (), {}, 0.0, 0.0)
    assert isinstance(plan, Plan)
    return plan.attempts


def play(model_id: str, outcome: Any) -> list[str]:
    """The attempts made when each fails as `outcome(attempt)` says, as provider, key and model."""
    attempts, past, made = planned(model_id), [], []
    at: int | None = 0
    while at is not None:
        attempt = attempts[at]
        made.append(f"{attempt.provider.name} {attempt.key_ref} {attempt.model.name}")
        past.append((attempt, outcome(attempt)))
        at = next_attempt(attempts, at, past)
    return made


def replays_everything(failure: Failure) -> bool:
    """A deliberately wrong variant: a broken connection is tried again whatever was sent."""
    return failure.kind is Kind.BROKEN or may_repeat(failure)


def is_safe(question: Any, failure: Failure) -> bool:
    """Another attempt follows only if nothing was sent, or the provider answered with an error before the caller saw anything."""
    said_no = failure.is_answer and failure.sent is not Sent.HEAD
    return not question(failure) or (failure.source is not Source.CLIENT and (failure.sent is Sent.NOTHING or said_no))


@pytest.mark.parametrize("question", QUESTIONS)
def test_nothing_is_bought_twice(question: Any) -> None:
    """No failure is followed that the provider may be billing, or of which the caller has seen a byte."""
    assert all(is_safe(question, failure) for failure in EVERY)


def test_check_above_catches_a_wrong_variant() -> None:
    """It sees a rule that replays a request whose connection broke after it was written."""
    assert not all(is_safe(replays_everything, failure) for failure in EVERY)


def test_questions_widen() -> None:
    """What may be repeated may be moved, what may be moved may be stood in for, and what is final may be none of them."""
    for failure in EVERY:
        answers = [question(failure) for question in QUESTIONS]
        assert answers == sorted(answers)
        assert not (is_final(failure) and any(answers))


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (Cause.RATE_LIMITED, (True, True, True)),
        (Cause.OVERLOADED, (True, True, True)),
        (Cause.UNAVAILABLE, (True, True, True)),
        (Cause.TIMED_OUT, (True, True, True)),
        (Cause.CREDENTIALS, (False, True, True)),
        (Cause.EXHAUSTED, (False, True, True)),
        (Cause.UNAFFORDABLE, (False, True, True)),
        (Cause.FORBIDDEN, (False, True, True)),
        (Cause.MODEL_GONE, (False, True, True)),
        (Cause.MODEL_UNKNOWN, (False, True, True)),
        (Cause.UNEXPECTED, (False, True, True)),
        (Cause.TOO_LONG, (False, False, True)),
        (Cause.TOO_LARGE, (False, False, True)),
        (Cause.UNSUPPORTED, (False, False, True)),
        (Cause.MODERATED, (False, False, False)),
        (Cause.INVALID, (False, False, False)),
    ],
)
def test_three_questions(cause: Cause, expected: tuple[bool, bool, bool]) -> None:
    """The rule, cause by cause."""
    assert tuple(question(answer(cause)) for question in QUESTIONS) == expected


def test_moderated_content_moves_only_by_opt_in() -> None:
    """Content that one model refuses is offered to another only where the operator wants that."""
    assert may_stand_in(answer(Cause.MODERATED), on_moderated=True)
    assert not may_stand_in(answer(Cause.INVALID), on_moderated=True)


def test_error_inside_a_200_moves_but_is_not_repeated() -> None:
    """The provider had begun to work; another may be asked while the caller has seen nothing."""
    inside = Failure(Kind.STREAM_ERROR, Source.UPSTREAM, Sent.REQUEST, 503)
    assert [question(inside) for question in QUESTIONS] == [False, True, True]
    seen = Failure(Kind.STREAM_ERROR, Source.UPSTREAM, Sent.HEAD, 503)
    assert [question(seen) for question in QUESTIONS] == [False, False, False]


def test_long_wait_is_not_spent_here() -> None:
    """Who is told to wait for long is not asked again on the caller's time; another is."""
    assert may_repeat(answer(Cause.RATE_LIMITED, wait_s=1.0))
    assert not may_repeat(answer(Cause.RATE_LIMITED, wait_s=30.0))
    assert may_move(answer(Cause.RATE_LIMITED, wait_s=30.0))


@pytest.mark.parametrize(
    "cause",
    [cause for cause in Cause if cause not in (Cause.MODERATED, Cause.INVALID)],
)
def test_alias_reaches_its_second_target(cause: Cause) -> None:
    """Whatever the first target's keys answer, but for what is wrong with the request itself, the second is asked."""
    made = play("ab", lambda attempt: answer(cause))
    assert any(each.startswith("b ") for each in made)


def test_pool_of_dead_keys_is_gone_through() -> None:
    """Four dead keys cost no attempt: the fifth is asked, though attempts_max is three."""
    dead = answer(Cause.CREDENTIALS, 401)
    assert play("a/m", lambda attempt: dead) == [f"a env:A{number} m" for number in range(1, 6)]


def test_attempts_that_cost_are_bounded() -> None:
    """What fails for good reason is tried as often as allowed and no more."""
    assert len(play("a/m", lambda attempt: answer(Cause.UNAVAILABLE, 500))) == 3
    assert len(play("b/m", lambda attempt: answer(Cause.UNAVAILABLE, 500))) == 2
    assert len(play("once/m", lambda attempt: answer(Cause.CREDENTIALS, 401))) == 1


def test_dead_key_is_not_asked_for_another_model() -> None:
    """A refused key is refused for every model behind it; its neighbour is asked."""
    dead = answer(Cause.CREDENTIALS, 401)
    made = play("an", lambda attempt: dead)
    assert len({each.split()[1] for each in made}) == len(made) == 5


def test_other_keys_are_not_asked_for_what_the_model_refuses() -> None:
    """A prompt too long for a model is too long with every key: the other model is asked, once."""
    made = play("an", lambda attempt: answer(Cause.TOO_LONG))
    assert [each.split()[2] for each in made] == ["m", "n"]


@given(st.data())
def test_no_attempt_after_a_final_failure(data: st.DataObject) -> None:
    """For any failures: every attempt is another index, in order, and none follows a final one."""
    finals: list[bool] = []

    def outcome(attempt: Attempt) -> Failure:
        failure: Failure = data.draw(st.sampled_from(EVERY))
        assert not any(finals)
        finals.append(is_final(failure))
        return failure

    play(data.draw(st.sampled_from(["ab", "an", "a/m", "b/m"])), outcome)


def test_unknown_kind_and_cause() -> None:
    """What nobody thought of is a bug that is heard."""
    unknown: Any = "unknown"
    with pytest.raises(AssertionError):
        is_final(Failure(unknown, Source.UPSTREAM, Sent.NOTHING))
    with pytest.raises(AssertionError):
        remedy_of(unknown)


REASONS_OF = {
    "unavailable": (Cause.OVERLOADED, Cause.UNAVAILABLE, Cause.TIMED_OUT, Cause.UNEXPECTED),
    "limited": (Cause.RATE_LIMITED,),
    "exhausted": (Cause.EXHAUSTED, Cause.UNAFFORDABLE, Cause.CREDENTIALS, Cause.FORBIDDEN),
    "gone": (Cause.MODEL_GONE, Cause.MODEL_UNKNOWN),
    "too_long": (Cause.TOO_LONG, Cause.TOO_LARGE),
    "unsupported": (Cause.UNSUPPORTED,),
    "refused": (Cause.MODERATED,),
    "": (Cause.INVALID,),
}
"""What an operator writes into `fallback_on` → what a provider says."""


def test_reason_of_a_failure_is_one_that_an_operator_can_list() -> None:
    """Each cause has one, and only the request's own fault has none; what was no answer is the provider's absence."""
    assert {cause: reason for reason, causes in REASONS_OF.items() for cause in causes}.keys() == set(Cause)
    for reason, causes in REASONS_OF.items():
        assert {reason_of(answer(cause)) for cause in causes} == {reason}
    assert set(REASONS_OF) - {""} == set(REASONS) == FALLBACK_ON | {"refused"}
    assert {reason_of(failure) for failure in EVERY if not failure.is_answer} == {"unavailable"}


def test_reason_of_an_unknown_cause_is_heard() -> None:
    """A cause that nobody thought of is a bug, not a failure for which nothing stands in."""
    unknown: Any = "unknown"
    with pytest.raises(AssertionError):
        reason_of(answer(unknown))
