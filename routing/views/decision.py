"""One decision as an object: which targets a request is sent to, in which order and why, and why each other one is not asked.

Rule: it is read off the plan that the request itself would get; nothing is decided here. Names of keys are told, never keys.
"""

from typing import Any

from routing.plan.plan import Plan, Routes, is_offered
from routing.plan.preferences import Preferences
from routing.plan.unplanned import missing_keys
from routing.routes.route import Situation
from routing.table.config import Config, Found, find


def decision(
    routes: Routes,
    model_id: str,
    situation: Situation,
    roll: float,
    wishes: Preferences | None = None,
) -> dict[str, Any]:
    """`requested`, `strategy`, `region`, `attempts` in order, `not_asked` with reasons; `refused` where nothing is asked."""
    config = routes.config
    if wishes is None:
        planned = routes.plan(model_id, (), {}, 0.0, roll, situation=situation)
    else:
        planned = routes.plan_with(model_id, wishes, (), {}, 0.0, roll, situation=situation)
    route = routes.route_of(model_id)
    strategy = "direct" if route is None and model_id not in config.aliases else "in_order" if route is None else route.balance
    told: dict[str, Any] = {"requested": model_id, "strategy": strategy, "region": situation.region or None}
    asked: set[str] = set()
    if isinstance(planned, Plan):
        told["attempts"] = [
            {
                "provider": attempt.provider.name,
                "model": attempt.model.id,
                "key": attempt.key_ref,
                "why": "a fallback, for: " + ", ".join(sorted(attempt.stands_in_on)) if attempt.stands_in_on else "a target",
                "policy": attempt.policy.name or None,
            }
            for attempt in planned.attempts
        ]
        asked = {attempt.model.id for attempt in planned.attempts}
    else:
        told["refused"] = {"status": planned.status, "code": planned.code, "message": planned.message}
    told["not_asked"] = _not_asked(routes, config, model_id, situation, asked, wishes)
    return told


def _not_asked(
    routes: Routes, config: Config, model_id: str, situation: Situation, asked: set[str], wishes: Preferences | None
) -> list[dict[str, str]]:
    route = routes.route_of(model_id)
    conditions: dict[str, str] = {}
    if route is not None:
        for choice in route.choices:
            conditions.setdefault(choice.to, choice.when.why_not(situation))
    rows = []
    for target in dict.fromkeys((*config.targets_of(model_id), *(wishes.models if wishes is not None else ()))):
        if target not in asked:
            rows.append({"model": target, "why": _why_not(routes, config, target, conditions.get(target, ""), wishes)})
    return rows


def _why_not(routes: Routes, config: Config, target: str, condition: str, wishes: Preferences | None) -> str:
    found = find(config, target)
    if not isinstance(found, Found):
        return "is no model of this table"
    if not is_offered(found.provider, routes.offered):
        return missing_keys(found.provider)
    if condition:
        return condition
    if wishes is not None and wishes.chooses:
        if not wishes.admits(found.provider, found.model.rates):
            return "'provider' in the request leaves it out (only, ignore, max_price, data_collection or zdr)"
        return "'provider.allow_fallbacks' is false, and another stands before it"
    return "is behind as many attempts as there may be"
