"""Failures: what the caller reads, and that nothing of ours leaks into it."""

import itertools
from typing import Any

import pytest
from hypothesis import strategies as st

from routing.failures.failure import VANISHED, AttemptFailed, Failure, Kind, Sent, Source, describe, status_of

DOCUMENTED = {400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504, VANISHED}
STATUSES = (0, 301, 400, 401, 402, 403, 404, 408, 409, 410, 413, 415, 418, 422, 429, 498, 500, 502, 503, 504, 524, 529)
EVERY = [Failure(*each) for each in itertools.product(Kind, Source, Sent, STATUSES)]

failures = st.builds(
    Failure, st.sampled_from(Kind), st.sampled_from(Source), st.sampled_from(Sent), st.integers(0, 599), st.none(), st.text()
)


def test_status_is_always_a_documented_one() -> None:
    """Whatever happened, the caller reads a documented status; and every failure has a sentence, a type and a code."""
    for failure in EVERY:
        assert status_of(failure) in DOCUMENTED
        assert all(describe(failure, "openai"))


@pytest.mark.parametrize(
    ("upstream", "ours"),
    [
        (400, 400),
        (404, 404),
        (410, 404),
        (413, 413),
        (415, 400),
        (422, 400),
        (429, 429),
        (401, 502),
        (402, 502),
        (403, 502),
        (408, 504),
        (409, 502),
        (418, 502),
        (498, 503),
        (500, 502),
        (502, 502),
        (503, 503),
        (504, 504),
        (529, 503),
        (301, 502),
    ],
)
def test_status_of_an_answer(upstream: int, ours: int) -> None:
    """A provider's status becomes ours by the table; what blames our key or our address is never the caller's fault."""
    assert status_of(Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, upstream)) == ours


@pytest.mark.parametrize(
    ("kind", "source", "ours"),
    [
        (Kind.CONNECT, Source.UPSTREAM, 502),
        (Kind.PROTOCOL, Source.UPSTREAM, 502),
        (Kind.TIMEOUT_IDLE, Source.UPSTREAM, 504),
        (Kind.ABORTED, Source.PROXY, 503),
        (Kind.INTERNAL, Source.PROXY, 500),
        (Kind.JOURNAL, Source.PROXY, 503),
        (Kind.ABORTED, Source.CLIENT, VANISHED),
        (Kind.BROKEN, Source.CLIENT, VANISHED),
        (Kind.TIMEOUT_IDLE, Source.CLIENT, 408),
        (Kind.TOO_LARGE, Source.CLIENT, 413),
        (Kind.PROTOCOL, Source.CLIENT, 400),
    ],
)
def test_status_without_an_answer(kind: Kind, source: Source, ours: int) -> None:
    """What happened between the three of us, by kind and by whose doing it was."""
    assert status_of(Failure(kind, source, Sent.NOTHING)) == ours


def test_description_does_not_leak() -> None:
    """The detail of a failure reaches the caller only where the provider blames the request itself."""
    for failure in EVERY:
        told = describe(Failure(failure.kind, failure.source, failure.sent, failure.status, None, "10.0.0.1 sekret"), "openai")[0]
        is_answer = failure.kind in (Kind.STATUS, Kind.STREAM_ERROR) and failure.source is not Source.CLIENT
        assert ("sekret" in told) == (is_answer and status_of(failure) in (400, 404, 413))


def test_description_says_when_to_come_back() -> None:
    """A rate limit is told with its wait, and a provider's refusal without words still has a sentence."""
    limited = describe(Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 429, 2.5), "groq")
    assert limited == (
        "groq is limiting the rate of this proxy's requests; try again in 2.5 s",
        "rate_limit_error",
        "provider_rate_limited",
    )
    assert (
        describe(Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 400), "groq")[0]
        == "groq refused the request with status 400"
    )
    assert describe(Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 401, None, "bad key"), "groq")[2] == "provider_auth"


def test_failure_of_an_unknown_kind() -> None:
    """A kind that nobody thought of is a bug that is heard, not a failure that passes in silence."""
    unknown: Any = "unknown"
    odd = Failure(unknown, Source.UPSTREAM, Sent.NOTHING)
    for decide in (status_of, lambda failure: describe(failure, "p")):
        with pytest.raises(AssertionError):
            decide(odd)
    for source in (Source.CLIENT, unknown):
        with pytest.raises(AssertionError):
            status_of(Failure(unknown, source, Sent.NOTHING))


def test_failure_is_carried_as_it_is() -> None:
    """The exception that carries one is told by it in a log, and nothing is added on the way."""
    failure = Failure(Kind.BROKEN, Source.UPSTREAM, Sent.REQUEST)
    with pytest.raises(AttemptFailed) as caught:
        raise AttemptFailed(failure)
    assert caught.value.failure is failure
    assert caught.value.args == (failure,)
