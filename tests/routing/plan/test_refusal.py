"""Refusals: the error object that the caller reads."""

import json

import pytest

from routing.failures.failure import Failure, Kind, Sent, Source
from routing.plan.refusal import Denied, Refusal, refusal_of
from usage.flavor import Flavor


def test_refusal_body() -> None:
    """A refusal without a type takes the one of its status; one with a type keeps it; metadata go where there is a place."""
    assert json.loads(Refusal(404, "c", "m", param="model").body(Flavor.OPENAI))["error"]["type"] == "invalid_request_error"
    refusal = Refusal(404, "c", "m", type="own", metadata={"x": 1})
    assert json.loads(refusal.body(Flavor.OPENAI)) == {"error": {"message": "m", "type": "own", "param": None, "code": "c"}}
    assert json.loads(refusal.body(Flavor.OPENROUTER)) == {
        "error": {"code": 404, "message": "m", "metadata": {"error_type": "not_found", "code": "c", "x": 1}}
    }


def test_refusal_of_a_failure() -> None:
    """A provider's failure is told with its name, ours without; the wait goes along."""
    slow = refusal_of(Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 429, 3.0), "groq")
    assert (slow.status, slow.code, slow.retry_after_s) == (429, "provider_rate_limited", 3.0)
    assert slow.metadata == {"provider_name": "groq"}
    own = refusal_of(Failure(Kind.JOURNAL, Source.PROXY, Sent.NOTHING), "groq")
    assert (own.status, own.metadata) == (503, None)


def test_refusal_of_a_complaint() -> None:
    """Where the provider's own code is told, OpenRouter's clients find it under their name for it too."""
    failure = Failure(Kind.STATUS, Source.UPSTREAM, Sent.REQUEST, 400, detail="too long", code="context_length_exceeded")
    refusal = refusal_of(failure, "groq")
    assert refusal.metadata == {"provider_name": "groq", "provider_code": "context_length_exceeded"}


def test_refusal_goes_no_further_with_what_belongs_to_it() -> None:
    """Its words are the exception's, its headers go out with it, and a generation is named where it is another one's."""
    refusal = Refusal(409, "in_progress", "the same is under way", retry_after_s=1.0)
    with pytest.raises(Denied, match="the same is under way") as caught:
        raise Denied(refusal, [(b"x-a", b"b")], "gen-1")
    assert (caught.value.refusal, caught.value.headers, caught.value.gen_id) == (refusal, ((b"x-a", b"b"),), "gen-1")
    assert (Denied(refusal).headers, Denied(refusal).gen_id) == ((), "")
