"""The vocabulary of causes: every one is documented as it is, and every status has one."""

from pathlib import Path
from typing import Any

import pytest

from routing.failures.cause import ABOUT_ACCOUNT, ABOUT_KEY, ABOUT_REQUEST, Cause, cause_of_status
from routing.failures.failover import may_move, may_repeat, may_stand_in
from routing.failures.failure import Failure, Kind, Sent, Source, describe, is_hopeless, status_of
from routing.plan.health import Scopes, blamed

PAGE = (Path(__file__).parents[3] / "docs" / "failures.md").read_text(encoding="utf-8")
SCOPES = Scopes("the provider", "the key", "the target")


@pytest.mark.parametrize("cause", Cause)
def test_page_says_what_is_done(cause: Cause) -> None:
    """The table for operators: status, code, what may follow and what rests are those of the code."""
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{cause.value}` |")]
    _, _, _, reads, follows, rests, _ = (cell.strip() for cell in row.split("|"))
    failure = Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 400, told_cause=cause)
    code = describe(failure, "p")[2]
    assert reads.startswith(str(status_of(failure)))
    assert (f"`{code}`" in reads) is (cause not in ABOUT_REQUEST)
    assert ("x-should-retry" in reads) is is_hopeless(failure)
    said = {"all": (True, True, True), "next": (False, True, True), "another": (False, False, True), "nothing": (False,) * 3}
    assert said[follows.partition(" ")[0].rstrip(";")] == (may_repeat(failure), may_move(failure), may_stand_in(failure))
    scope = blamed(SCOPES, failure)
    assert rests.startswith("nothing") if scope is None or cause is Cause.MODEL_UNKNOWN else rests.startswith(scope)


def test_unknown_cause_is_heard() -> None:
    """A cause that nobody thought of is a bug that is heard."""
    unknown: Any = "unknown"
    failure = Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 400, told_cause=unknown)
    for decide in (status_of, lambda each: describe(each, "p"), lambda each: blamed(SCOPES, each), may_move):
        with pytest.raises(AssertionError):
            decide(failure)


def test_reason_is_one_word() -> None:
    """For records: the cause of an answer, the kind of anything else; and a caller's own failure is never hopeless."""
    assert Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 402).reason == "exhausted"
    assert Failure(Kind.CONNECT, Source.UPSTREAM, Sent.NOTHING).reason == "connect"
    assert not is_hopeless(Failure(Kind.TLS, Source.CLIENT, Sent.NOTHING))


def test_every_status_has_a_cause() -> None:
    """From what was never a status to what is none yet; and groups are what they say."""
    assert {cause_of_status(status) for status in range(1_000)} <= set(Cause)
    assert cause_of_status(0) is Cause.UNAVAILABLE
    assert cause_of_status(599) is Cause.UNAVAILABLE
    assert cause_of_status(418) is Cause.UNEXPECTED
    assert ABOUT_KEY < ABOUT_ACCOUNT
    assert not ABOUT_ACCOUNT & ABOUT_REQUEST
