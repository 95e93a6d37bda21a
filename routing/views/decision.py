"""One decision as an object: which targets a request is sent to, in which order and why, and why each other one is not asked.

Rule: it is read off the plan that the request itself would get, or got; nothing is decided here. Names of keys are told, never
keys, and to callers not even those.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from routing.plan.plan import Attempt, Plan, Routes, is_allowed, is_offered
from routing.plan.preferences import Preferences
from routing.plan.refusal import Refusal
from routing.plan.unplanned import missing_keys
from routing.routes.route import Situation
from routing.table.config import Config, Found, find

RESTS = "rests, since it failed lately"
UNFIT = "cannot be asked for this: not on this surface, or not with these parameters"
UNAFFORDABLE = "costs more than this caller has to spend, at most"
NOT_ALLOWED = "this key may not use it"
REFUSED = "the request is refused, as said"
_NOTED: Mapping[str, str] = {}
Admit = Callable[[Sequence[Attempt]], tuple[Sequence[Attempt], Refusal | None]]


def decision(
    routes: Routes,
    model_id: str,
    situation: Situation,
    roll: float,
    wishes: Preferences | None = None,
    models_allowed: tuple[str, ...] = (),
    admit: Admit | None = None,
) -> dict[str, Any]:
    """`requested`, `strategy`, `region`, `plan` in order, `not_asked` with reasons; `refused` where nothing is asked.

    `models_allowed` are the caller's; `admit` says which attempts its credit and limits let it have, or why none.
    """
    planned = _plan(routes, model_id, situation, roll, wishes, models_allowed)
    refusal = None if isinstance(planned, Plan) else planned
    attempts: Sequence[Attempt] = planned.attempts if isinstance(planned, Plan) else ()
    notes = _NOTED
    if attempts and admit is not None:
        notes = {attempt.model.id: UNAFFORDABLE for attempt in attempts}
        attempts, refusal = admit(attempts)
        if refusal is not None:
            attempts, notes = (), {}
    if refusal is not None and (admit is not None or refusal.code == "model_not_allowed"):
        targets = dict.fromkeys((*routes.config.targets_of(model_id), *(wishes.models if wishes is not None else ())))
        notes = {each: NOT_ALLOWED if not is_allowed(each, (each,), models_allowed) else REFUSED for each in targets}
    told = _told(routes, model_id, situation, attempts, wishes, refusal, notes)
    for row, attempt in zip(told.get("plan", ()), attempts, strict=False):
        row["key"] = attempt.key_ref
    return told


def decision_taken(
    routes: Routes,
    model_id: str,
    situation: Situation,
    roll: float,
    wishes: Preferences | None,
    planned: Plan | Refusal,
    admitted: Sequence[Attempt],
) -> dict[str, Any]:
    """The same of a request that came: `planned` around what rests, of which `admitted` can serve it. Without keys."""
    well = _plan(routes, model_id, situation, roll, wishes)
    notes = {} if isinstance(well, Refusal) else {attempt.model.id: RESTS for attempt in well.attempts}
    if isinstance(planned, Refusal):
        return _told(routes, model_id, situation, (), wishes, planned, notes)
    notes |= {attempt.model.id: UNFIT for attempt in planned.attempts}
    return _told(routes, model_id, situation, admitted, wishes, notes=notes)


def _plan(
    routes: Routes,
    model_id: str,
    situation: Situation,
    roll: float,
    wishes: Preferences | None,
    models_allowed: tuple[str, ...] = (),
) -> Plan | Refusal:
    if wishes is None:
        return routes.plan(model_id, models_allowed, {}, 0.0, roll, situation=situation)
    return routes.plan_with(model_id, wishes, models_allowed, {}, 0.0, roll, situation=situation)


def _told(
    routes: Routes,
    model_id: str,
    situation: Situation,
    attempts: Sequence[Attempt],
    wishes: Preferences | None,
    refusal: Refusal | None = None,
    notes: Mapping[str, str] = _NOTED,
) -> dict[str, Any]:
    """`notes`: why a target is not asked, by its id, where that is known already."""
    config = routes.config
    route = routes.route_of(model_id)
    strategy = "direct" if route is None and model_id not in config.aliases else "in_order" if route is None else route.balance
    told: dict[str, Any] = {"requested": model_id, "strategy": strategy, "region": situation.region or None}
    if refusal is None:
        told["plan"] = [
            {
                "provider": attempt.provider.name,
                "model": attempt.model.id,
                "name": attempt.model.name,
                "why": "a fallback, for: " + ", ".join(sorted(attempt.stands_in_on)) if attempt.stands_in_on else "a target",
                "policy": attempt.policy.name or None,
            }
            for attempt in attempts
        ]
    else:
        told["refused"] = {"status": refusal.status, "code": refusal.code, "message": refusal.message}
    asked = {attempt.model.id for attempt in attempts}
    told["not_asked"] = _not_asked(routes, config, model_id, situation, asked, wishes, notes)
    return told


def _not_asked(
    routes: Routes,
    config: Config,
    model_id: str,
    situation: Situation,
    asked: set[str],
    wishes: Preferences | None,
    notes: Mapping[str, str],
) -> list[dict[str, str]]:
    route = routes.route_of(model_id)
    conditions: dict[str, str] = {}
    if route is not None:
        for choice in route.choices:
            conditions.setdefault(choice.to, choice.when.why_not(situation))
    rows = []
    for target in dict.fromkeys((*config.targets_of(model_id), *(wishes.models if wishes is not None else ()))):
        if target not in asked:
            why = notes.get(target) or _why_not(routes, config, target, conditions.get(target, ""), wishes)
            rows.append({"model": target, "why": why})
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
