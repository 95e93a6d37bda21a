"""What may follow a failed attempt: three questions, and the next attempt that they leave.

Rule: may it be *repeated* here; may it *move* to another key or provider of the same model; may another model *stand in*. All
three follow from one exhaustive match: what would mend it. Rule: nothing is asked again that may have been billed: a connection
that broke after the request was written, or an answer of which the caller has seen a byte, is final. An error status costs
nothing, so moving on after one never buys twice.
Limits: content that one model refuses is offered to another only where the operator opted in (`on_moderated`).
"""

import enum
from collections.abc import Sequence
from typing import Final, assert_never

from routing.failures.cause import ABOUT_KEY, Cause
from routing.failures.failure import Failure, Kind, Sent, Source
from routing.plan.plan import Attempt

REPEAT_WAIT_S_MAX: Final = 2.0
"""A longer wait than this is not spent on the caller's connection: another is asked, or the caller told to come back."""

Past = Sequence[tuple[Attempt, Failure]]
"""The attempts of one request so far, and how they failed."""


class Remedy(enum.Enum):
    """What would have to be different for the request to be served."""

    TIME = "time"
    PLACE = "place"
    """Another key, account or provider."""
    MODEL = "model"
    JUDGE = "judge"
    """A model with other rules on content."""
    REQUEST = "request"


def remedy_of(cause: Cause) -> Remedy:
    match cause:
        case Cause.RATE_LIMITED | Cause.OVERLOADED | Cause.UNAVAILABLE | Cause.TIMED_OUT:
            return Remedy.TIME
        case Cause.CREDENTIALS | Cause.EXHAUSTED | Cause.UNAFFORDABLE | Cause.FORBIDDEN | Cause.UNEXPECTED:
            return Remedy.PLACE
        case Cause.MODEL_GONE | Cause.MODEL_UNKNOWN:
            return Remedy.PLACE
        case Cause.TOO_LONG | Cause.TOO_LARGE | Cause.UNSUPPORTED:
            return Remedy.MODEL
        case Cause.MODERATED:
            return Remedy.JUDGE
        case Cause.INVALID:
            return Remedy.REQUEST
    assert_never(cause)


def may_repeat(failure: Failure) -> bool:
    """Whether the same request may be sent again to the same target with the same key."""
    if is_final(failure) or failure.is_abandoned:
        return False
    if not failure.is_answer:
        return True
    if failure.sent is Sent.NOTHING:
        return False  # held back in a storm: to throw the dice again would send more than the target takes
    # Behind a 200 it had begun to work, and may bill it: another is asked, but the same not again.
    is_refusal = failure.kind is Kind.STATUS and remedy_of(failure.cause) is Remedy.TIME
    return is_refusal and (failure.retry_after_s or 0.0) <= REPEAT_WAIT_S_MAX


def may_move(failure: Failure) -> bool:
    """Whether it may be sent to the same model with another key, or at another provider."""
    return not is_final(failure) and (not failure.is_answer or remedy_of(failure.cause) in (Remedy.TIME, Remedy.PLACE))


def may_stand_in(failure: Failure, *, on_moderated: bool = False) -> bool:
    """Whether another model may be asked, where the caller's `models` or an alias allows it."""
    if is_final(failure):
        return False
    remedy = remedy_of(failure.cause) if failure.is_answer else Remedy.TIME
    return remedy is not Remedy.REQUEST and (remedy is not Remedy.JUDGE or on_moderated)


def reason_of(failure: Failure) -> str:
    """Under which of a route's reasons (`routing.routes.route.REASONS`) a failure falls; empty: it is the request's."""
    if not failure.is_answer:
        return "unavailable"
    match failure.cause:
        case Cause.OVERLOADED | Cause.UNAVAILABLE | Cause.TIMED_OUT | Cause.UNEXPECTED:
            return "unavailable"
        case Cause.RATE_LIMITED:
            return "limited"
        case Cause.EXHAUSTED | Cause.UNAFFORDABLE | Cause.CREDENTIALS | Cause.FORBIDDEN:
            return "exhausted"
        case Cause.MODEL_GONE | Cause.MODEL_UNKNOWN:
            return "gone"
        case Cause.TOO_LONG | Cause.TOO_LARGE:
            return "too_long"
        case Cause.UNSUPPORTED:
            return "unsupported"
        case Cause.MODERATED:
            return "refused"
        case Cause.INVALID:
            return ""
    assert_never(failure.cause)


def is_final(failure: Failure) -> bool:
    """Whether nothing may follow: it may have been billed, the caller has seen of it, or it is not the provider's doing."""
    if failure.is_abandoned:
        return False
    if failure.source is Source.CLIENT or failure.sent is Sent.HEAD:
        return True
    match failure.kind:
        case Kind.STATUS | Kind.STREAM_ERROR:
            return False
        case (
            Kind.CONNECT
            | Kind.TLS
            | Kind.TIMEOUT_CONNECT
            | Kind.TIMEOUT_FIRST_BYTE
            | Kind.TIMEOUT_IDLE
            | Kind.TIMEOUT_TOTAL
            | Kind.BROKEN
            | Kind.PROTOCOL
            | Kind.TRUNCATED
        ):
            return failure.sent is not Sent.NOTHING
        case Kind.TOO_LARGE | Kind.ABORTED | Kind.INTERNAL | Kind.JOURNAL:
            return True
    assert_never(failure.kind)


def next_attempt(attempts: Sequence[Attempt], at: int, past: Past) -> int | None:
    """The index of the attempt that follows the one at `at`, None when its failure is the caller's answer. `past` ends with it.

    Not more than the most generous `attempts_max` are tried, but for refusals, which cost nothing and a moment: a pool of dead
    keys is gone through to the one that lives. `attempts_max = 1` turns all of it off.
    """
    attempts_max = attempts[at].policy.attempts_max or max(attempt.provider.attempts_max for attempt in attempts)
    spent = sum(not failure.is_answer or remedy_of(failure.cause) is Remedy.TIME for _, failure in past)
    if attempts_max == 1 or spent >= attempts_max or is_final(past[-1][1]):
        return None
    following = range(at + 1, len(attempts))
    return next((index for index in following if all(may_follow(attempts[index], *each) for each in past)), None)


def may_follow(candidate: Attempt, failed: Attempt, failure: Failure) -> bool:
    """Whether `candidate` may be tried after `failed` ended so."""
    is_same_model = candidate.provider.name == failed.provider.name and candidate.model.name == failed.model.name
    is_same_key = candidate.scopes.key == failed.scopes.key
    on = candidate.stands_in_on
    if on is not None and failed.stands_in_on is None and reason_of(failure) not in on:
        return False
    if is_same_model:
        return may_repeat(failure) if is_same_key else may_move(failure)
    if is_same_key and failure.is_answer and failure.cause in ABOUT_KEY:
        return False
    return may_move(failure) or may_stand_in(failure, on_moderated=on is not None and "refused" in on)
