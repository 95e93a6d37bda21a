"""A key or an account, for an explanation: what it may use, what it can pay, and what can never be let in."""

import json
from typing import Any

from routing.request.envelope import Envelope, read
from routing.routes.route import Situation
from routing.views.caller import ExplainedCaller
from routing.views.decision import NOT_ALLOWED, UNAFFORDABLE, decision
from tests.routing.routes.test_route import CONFIG, ROUTES
from usage.limit import LimitTerms
from usage.protocol import Policy

RICH_NANO = 10**12


def caller(spendable_nano: int = RICH_NANO, **terms: Any) -> ExplainedCaller:
    return ExplainedCaller(Policy("", "abc123", "acme", "acme", **terms), spendable_nano)


def envelope(**more: Any) -> Envelope:
    return read(json.dumps({"model": "cheap", "messages": [{"role": "user", "content": "hi " * 100}]} | more).encode())


def decided(who: ExplainedCaller, body: Envelope | None, model: str = "cheap") -> dict[str, Any]:
    return decision(
        ROUTES, model, Situation(), 0.0, None, who.policy.models, lambda attempts: who.admitted(CONFIG, attempts, body)
    )


def test_caller_who_may_and_can_has_the_plain_decision() -> None:
    """With and without a body."""
    plain = decision(ROUTES, "cheap", Situation(), 0.0)
    assert decided(caller(), None) == decided(caller(), envelope()) == plain
    assert decided(caller(models=("cheap",)), None) == plain


def test_model_that_a_key_may_not_use_is_refused() -> None:
    told = decided(caller(models=("azure/*",)), None)
    assert (told["refused"]["status"], "plan" in told) == (403, False)
    assert {each["why"] for each in told["not_asked"] if not each["model"].startswith("azure/")} == {NOT_ALLOWED}


def test_credit_decides_who_is_asked() -> None:
    """From nothing to much: refused, with what it would buy; then the dearer targets are left out; then all are asked."""
    body, seen = envelope(max_tokens=1000), []
    for spendable_nano in (0, *(10**power for power in range(3, 13))):
        told = decided(caller(spendable_nano), body)
        if "refused" in told:
            assert told["refused"]["status"] == 402
            assert "dollars are left" in told["refused"]["message"]
        else:
            assert all(each["why"] == UNAFFORDABLE for each in told["not_asked"])
        seen.append(len(told.get("plan", ())))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, len(decision(ROUTES, "cheap", Situation(), 0.0)["plan"]))
    assert decided(caller(0), None)["refused"]["status"] == 402


def test_request_beyond_a_limit_is_never_admitted() -> None:
    """By the prompt alone, or by all that it may use where the limit counts the worst; a limit in shadow refuses nothing."""
    small, worst = LimitTerms(tokens_per_minute=10), LimitTerms(tokens_per_minute=900, count="worst")
    assert decided(caller(limits=small), envelope())["refused"]["status"] == 429
    assert "refused" not in decided(caller(limits=LimitTerms(tokens_per_minute=900)), envelope(max_tokens=1000))
    assert decided(caller(account_limits=worst), envelope(max_tokens=1000))["refused"]["code"] == "rate_limit_exceeded"
    assert "refused" not in decided(caller(limits=LimitTerms(tokens_per_minute=10, shadow=True)), envelope())


def test_caller_is_told_with_its_limits() -> None:
    who = caller(5_000_000_000, models=("a/*",), limits=LimitTerms(requests_per_minute=60))
    told = who.told(CONFIG)
    assert (told["account"], told["key"], told["models"], told["spendable"]) == ("acme", "abc123", ["a/*"], "5")
    assert told["limits"]["key"]["requests_per_minute"] == 60
    assert who.line(CONFIG) == "as key abc123 of account acme: models a/*, 60 requests per minute by key, 5 dollars to spend"
