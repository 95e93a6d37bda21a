"""A decision as an object: read off the plan itself, with the reason for each target that is not asked."""

from routing.plan.plan import Plan, Routes
from routing.plan.preferences import Preferences
from routing.routes.route import Situation
from routing.views.decision import decision
from tests.routing.test_route import CONFIG, EU, KEYS, ROUTES


def test_decision_is_the_plan() -> None:
    """The same attempts in the same order, for any roll; fallbacks say for what they are."""
    for roll in (0.0, 0.5, 0.99):
        planned = ROUTES.plan("openai/gpt-4o", (), {}, 0.0, roll, situation=EU)
        assert isinstance(planned, Plan)
        told = decision(ROUTES, "openai/gpt-4o", EU, roll)
        assert [each["model"] for each in told["attempts"]] == [each.model.id for each in planned.attempts]
        assert (told["strategy"], told["region"], told["not_asked"]) == ("weighted", "fra", [])
    assert told["attempts"][-1]["why"] == "a fallback, for: too_long, unavailable"


def test_decision_says_why_not() -> None:
    """A condition, a missing key, a caller's wish."""
    told = decision(ROUTES, "long", Situation(prompt_tokens=10), 0.0)
    assert told["not_asked"] == [{"model": "other/long", "why": "when.prompt_tokens_over = 1000, here about 10"}]
    keyless = Routes(CONFIG, KEYS - {"env:AZURE"})
    told = decision(keyless, "cheap", Situation(), 0.0)
    assert told["not_asked"] == [{"model": "azure/gpt-4o", "why": "AZURE is not in the environment"}]
    told = decision(ROUTES, "cheap", Situation(), 0.0, Preferences(demands_zdr=True))
    assert {each["model"] for each in told["not_asked"]} == {"openai/gpt-4o", "other/small"}
    told = decision(ROUTES, "nobody/x", Situation(), 0.0)
    assert told["refused"]["code"] == "model_not_found"
