"""A decision as an object: read off the plan itself, with the reason for each target that is not asked."""

from routing.plan.plan import Plan, Routes
from routing.plan.preferences import Preferences
from routing.plan.refusal import Refusal
from routing.routes.route import Situation
from routing.table.config import parse
from routing.views.decision import RESTS, UNFIT, decision, decision_taken
from routing.views.metadata import metadata
from tests.routing.routes.test_route import CONFIG, EU, KEYS, ROUTES
from usage.record import Tried


def test_decision_is_the_plan() -> None:
    """The same attempts in the same order, for any roll; fallbacks say for what they are."""
    for roll in (0.0, 0.5, 0.99):
        planned = ROUTES.plan("openai/gpt-4o", (), {}, 0.0, roll, situation=EU)
        assert isinstance(planned, Plan)
        told = decision(ROUTES, "openai/gpt-4o", EU, roll)
        assert [each["model"] for each in told["plan"]] == [each.model.id for each in planned.attempts]
        assert (told["strategy"], told["region"], told["not_asked"]) == ("weighted", "fra", [])
    assert told["plan"][-1]["why"] == "a fallback, for: too_long, unavailable"


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


def test_decision_of_an_answer_is_the_explained_one() -> None:
    """But for the keys, whose names are the operator's alone; with who was asked and who answered."""
    for model_id in ("openai/gpt-4o", "cheap", "long", "other/small"):
        planned = ROUTES.plan(model_id, (), {}, 0.0, 0.3, situation=EU)
        assert isinstance(planned, Plan)
        taken = decision_taken(ROUTES, model_id, EU, 0.3, None, planned, planned.attempts)
        explained = decision(ROUTES, model_id, EU, 0.3)
        assert all(row.pop("key", None) in (*KEYS, None) for row in explained["plan"])
        assert taken == explained
        first = planned.attempts[0]
        tried = [Tried("gone", "m", "unavailable", 503)]
        told = metadata(taken, tried, first)
        assert explained.items() <= told.items()
        assert told["attempt"] == 2
        assert told["attempts"] == [
            {"provider": "gone", "model": "m", "status": 503, "result": "unavailable"},
            {"provider": first.provider.name, "model": first.model.name, "status": 200, "result": "answered"},
        ]
        assert [each["model"] for each in told["endpoints"]["available"] if each["selected"]] == [first.model.id]
        assert told["endpoints"]["total"] == len(told["endpoints"]["available"]) + len(told["not_asked"])


def test_decision_says_what_rests_and_what_is_unfit() -> None:
    """A target that the plan leads around, and one that a request cannot be said to."""
    whole = ROUTES.plan("cheap", (), {}, 0.0, 0.0)
    assert isinstance(whole, Plan)
    first = whole.attempts[0].model.id
    rest = [each for each in whole.attempts if each.model.id != first]
    taken = decision_taken(ROUTES, "cheap", Situation(), 0.0, None, Plan("cheap", tuple(rest)), rest)
    assert taken["not_asked"] == [{"model": first, "why": RESTS}]
    taken = decision_taken(ROUTES, "cheap", Situation(), 0.0, None, whole, rest)
    assert taken["not_asked"] == [{"model": first, "why": UNFIT}]


def test_decision_of_a_request_that_was_refused_says_what_rests() -> None:
    """Not "is behind": each target that would be asked if all were well."""
    refused = ROUTES.plan("nobody/x", (), {}, 0.0, 0.0)
    assert isinstance(refused, Refusal)
    told = decision_taken(ROUTES, "cheap", Situation(), 0.0, None, refused, ())
    assert told["refused"]["code"] == "model_not_found"
    assert {each["why"] for each in told["not_asked"]} == {RESTS}
    assert "plan" not in told


def test_decision_without_fallbacks_says_that_one_stands_before() -> None:
    """And with so many targets that not all fit, that they are behind."""
    told = decision(ROUTES, "cheap", Situation(), 0.0, Preferences(allows_fallbacks=False))
    assert {each["model"] for each in told["plan"]} == {"other/small"}
    assert {each["why"] for each in told["not_asked"]} == {"'provider.allow_fallbacks' is false, and another stands before it"}
    models = "".join(f'models.m{number} = {{ input = "1", output = "2" }}\n' for number in range(20))
    table = f'[providers.p]\nbase_url = "https://p.example"\napi_key = "none"\n{models}[aliases]\n'
    names = ", ".join(f'"p/m{number}"' for number in range(20))
    config = parse(f"{table}all = [{names}]\n")
    told = decision(Routes(config, frozenset()), "all", Situation(), 0.0)
    assert len(told["plan"]) == 16
    assert {each["why"] for each in told["not_asked"]} == {"is behind as many attempts as there may be"}
