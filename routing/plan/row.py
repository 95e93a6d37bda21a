"""One row of the plans: the targets of an id laid out as attempts, and the way around what is closed.

Rule: the targets are asked in their order, and each has its turn before any target's second key; how many are asked,
`routing.failures.failover` says. Rule: a request is a trial only where nothing that is well is left, or after a trial at no cost.
Rule: what has just come back gives way to the other keys of its target, and to the other targets of an alias or a route, for the
part of the requests that it is not given yet; never to a fallback, nor to what a caller has put behind it.
Limits: a plan has at most ATTEMPTS_LISTED_MAX attempts.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from routing.plan.health import Health, Scopes
from routing.plan.preferences import Preferences
from routing.plan.refusal import Refusal
from routing.plan.unplanned import none_admitted, not_found, not_offered, unavailable
from routing.routes.route import DEFAULT_POLICY, Route, RoutePolicy
from routing.routes.situation import Speeds
from routing.table.config import Config, Found, find
from routing.table.endpoint import CHAT
from routing.table.provider import Model, Provider
from usage.record import Rates

SAME_TARGET_ATTEMPTS: Final = 2
"""A lone target with a lone key is asked again, so that a request that never left may."""
ATTEMPTS_LISTED_MAX: Final = 16
NO_SPEEDS: Final[Speeds] = {}


class Attempt(msgspec.Struct, frozen=True):
    """One try: this model of this provider with this key (None: it needs none)."""

    provider: Provider
    model: Model
    key_ref: str | None
    rates: Rates
    scopes: Scopes
    is_plain_chat: bool = True
    """Whether it is asked as Chat at the usual place."""
    policy: RoutePolicy = DEFAULT_POLICY
    stands_in_on: frozenset[str] | None = None
    """For which reasons it may be asked; None: it is a target, so for each that moving may mend."""


class Plan(msgspec.Struct, frozen=True):
    """`model_id` is what the caller asked for; `attempts` is never empty.

    `takes`: the members of a request that it takes as they come, as Chat at the usual place, where all attempts are of one model;
    none where they differ, and each is to be looked at.
    """

    model_id: str
    attempts: tuple[Attempt, ...]
    takes: frozenset[str] = frozenset()


Target = tuple[Attempt, ...]
"""One model with each key that may be tried, in the order of trial."""


class PlanRow(msgspec.Struct, frozen=True):
    """What is known of an id beforehand: its targets and plan for each rotation of the keys."""

    rotations: tuple[tuple[Target, ...], ...]
    plans: tuple[Plan, ...]
    attempts_max: int
    target_ids: tuple[str, ...]
    scopes: frozenset[str]
    model_id: str
    is_callers_order: bool = False
    """Whether the order of its targets is the caller's own."""


def turned(row: PlanRow, health: Mapping[str, Health], now_s: float, roll: float, account: str) -> Plan | Refusal:
    """The plan of a row, its keys rotated by the roll, around what is closed."""
    turn = int(roll * len(row.plans)) if len(row.plans) > 1 else 0
    if health and not row.scopes.isdisjoint(health):
        return _plan_around(row, turn, health, now_s, roll, account)
    return row.plans[turn]


def is_offered(provider: Provider, offered: frozenset[str]) -> bool:
    """Whether there is a key for it, or it needs none."""
    return not provider.key_refs or not offered.isdisjoint(provider.key_refs)


def row_of(
    config: Config,
    offered: frozenset[str],
    model_id: str,
    target_ids: tuple[str, ...],
    wishes: Preferences | None,
    digests: Mapping[str, str],
    speeds: Speeds = NO_SPEEDS,
    route: Route | None = None,
    groups: tuple[int, ...] = (),
) -> PlanRow | Refusal:
    """`groups`: for each target the number of the model that it is asked for, where the caller names several: what sorts targets
    sorts those of one model, and a route's fallbacks stay behind its targets."""
    found = [(target_id, find(config, target_id)) for target_id in target_ids]
    known = [each for _, each in found if isinstance(each, Found)]
    if not known:
        return not_found(config, model_id, found[0][1])
    usable = [each for each in known if is_offered(each.provider, offered)]
    if not usable:
        return not_offered(model_id, known)
    if wishes is not None and wishes.chooses:
        admitted = [each for each in usable if wishes.admits(each.provider, each.model.rates)]
        if not admitted:
            return none_admitted(config, model_id, usable, wishes)
        group_of = {} if wishes.crosses_models else dict(zip(target_ids, groups, strict=False))

        def rank(each: Found) -> tuple[float, ...]:
            model = each.model
            is_fallback = _stands_in_on(model.id, route) is not None
            wished = wishes.rank(each.provider.name, model.rates, speeds.get(model.id, 0))
            return (group_of.get(model.id, 0), is_fallback, *wished)

        usable = sorted(admitted, key=rank)
        usable = usable if wishes.allows_fallbacks or wishes.models else usable[:1]
    policy = config.policy if route is None else route.policy
    targets = [_target(each, offered, digests, policy, _stands_in_on(each.model.id, route)) for each in usable]
    attempts_max = policy.attempts_max or max(each.provider.attempts_max for each in usable)
    turns = range(max(map(len, targets)))
    rotations = tuple(tuple(_rotated(target, turn) for target in targets) for turn in turns)
    plans = tuple(_plan(model_id, _laid_out(rotation, attempts_max)) for rotation in rotations)
    scopes = frozenset(scope for target in targets for attempt in target for scope in attempt.scopes.all)
    target_ids = tuple(each.model.id for each in usable)
    return PlanRow(rotations, plans, attempts_max, target_ids, scopes, model_id, wishes is not None and wishes.orders)


def _plan(model_id: str, attempts: tuple[Attempt, ...]) -> Plan:
    model = attempts[0].model
    is_one = all(each.is_plain_chat and each.model is model for each in attempts)
    return Plan(model_id, attempts, model.takes if is_one else frozenset())


def _stands_in_on(model_id: str, route: Route | None) -> frozenset[str] | None:
    if route is None or model_id not in route.fallback or any(each.to == model_id for each in route.choices):
        return None
    return route.fallback_on


def _target(
    found: Found, offered: frozenset[str], digests: Mapping[str, str], policy: RoutePolicy, stands_in_on: frozenset[str] | None
) -> Target:
    provider, model = found.provider, found.model
    keys: list[str | None] = [ref for ref in provider.key_refs if ref in offered]
    scopes = [_scopes(found, digests.get(key or "", key)) for key in keys or [None]]
    is_plain = provider.endpoint_of(model, "chat") is CHAT
    return tuple(
        Attempt(provider, model, key, model.rates, each, is_plain, policy, stands_in_on)
        for key, each in zip(keys or [None], scopes, strict=True)
    )


def _scopes(found: Found, key: str | None) -> Scopes:
    key_scope = f"{found.provider.name} {key or ''}"
    name = found.model.name if found.model.is_listed else "*"
    return Scopes(found.provider.name, key_scope, f"{key_scope} {name}", found.model.is_listed)


def _rotated(target: Target, turn: int) -> Target:
    turn %= len(target)
    return target[turn:] + target[:turn]


def _laid_out(targets: tuple[Target, ...], attempts_max: int) -> tuple[Attempt, ...]:
    """The attempts in order: every target gets one, as far as they go round; then the first ones get more, a key each. Behind
    those stands the rest, for when the first ones are refused at no cost."""
    if len(targets) == 1 and len(targets[0]) == 1:
        return targets[0] * min(SAME_TARGET_ATTEMPTS, attempts_max)
    spare = attempts_max - len(targets)
    attempts: list[Attempt] = []
    rest: list[Attempt] = []
    for target in targets[:attempts_max]:
        more = min(max(spare, 0), len(target) - 1)
        spare -= more
        attempts += target[: 1 + more]
        rest += target[1 + more :]
    for target in targets[attempts_max:]:
        rest += target
    # With attempts_max = 1 too: the first may not be able to serve this request, or be too dear, which is found out later.
    return tuple(attempts + rest)[:ATTEMPTS_LISTED_MAX]


def _plan_around(
    row: PlanRow, turn: int, health: Mapping[str, Health], now_s: float, roll: float, account: str
) -> Plan | Refusal:
    """The plan without what is open now, and with what needs a trial behind all that is well."""
    rotation = row.rotations[turn]
    healths = {id(each): _healths(each, health) for target in rotation for each in target}
    known = {at: _ill(each, now_s, account) for at, each in healths.items()}
    yielding = {at for at, each in healths.items() if any(one.gives_way(now_s, roll, account) for one in each)}
    if not yielding and not any(known.values()):
        return row.plans[turn]
    opened = {at: [each for each in ill if each.is_open(now_s, account)] for at, ill in known.items()}
    well = _only(rotation, lambda attempt: not known[id(attempt)])
    trials = _only(rotation, lambda attempt: known[id(attempt)] and not opened[id(attempt)])
    if yielding:
        well = _stood_back(well, yielding, among_targets=not row.is_callers_order)
    model_id = row.plans[turn].model_id
    trials += _reopened(rotation, known, now_s, account, is_panic=not (well or trials))
    if well and row.attempts_max > 1:
        behind = tuple(attempt for target in trials for attempt in target)
        return Plan(model_id, (_laid_out(well, row.attempts_max) + behind)[:ATTEMPTS_LISTED_MAX])
    if well or trials:
        return Plan(model_id, _laid_out(well or trials, row.attempts_max))
    closed = list(opened.values())
    wait_s = min(max(each.open_until_s for each in ill) for ill in closed) - now_s
    return unavailable(model_id, wait_s, closed)


def _reopened(
    rotation: tuple[Target, ...], known: Mapping[int, list[Health]], now_s: float, account: str, *, is_panic: bool
) -> tuple[Target, ...]:
    """Targets that failures alone have closed, as far as those are more than the policy's part of all: the one that would open
    next first.

    `is_panic`: nothing else may be asked. One of them is then, whatever keeps the others away: a limited target and a refused key
    are known not to serve now, what merely failed may, and no answer is worse than a failed attempt.
    """
    closed: list[tuple[float, Target]] = []
    for target in rotation:
        ill = [[each for each in known[id(attempt)] if each.is_open(now_s, account)] for attempt in target]
        if all(ill) and any(all(each.is_passive for each in one) for one in ill):
            passive = [
                (max(each.open_until_s for each in one), attempt)
                for one, attempt in zip(ill, target, strict=True)
                if all(each.is_passive for each in one)
            ]
            closed.append((min(until for until, _ in passive), tuple(attempt for _, attempt in passive)))
    if len(rotation) < 2 or not closed:
        return ()
    most = int(len(rotation) * rotation[0][0].policy.breaker.closed_at_most)
    return tuple(target for _, target in sorted(closed, key=lambda each: each[0])[: max(len(closed) - most, int(is_panic))])


def _healths(attempt: Attempt, health: Mapping[str, Health]) -> list[Health]:
    return [each for scope in attempt.scopes.all if (each := health.get(scope)) is not None]


def _ill(healths: list[Health], now_s: float, account: str) -> list[Health]:
    """What speaks against trying it now: what is open, and what is half-open and not proved to be well again."""
    return [
        each for each in healths if each.is_open(now_s, account) or (each.is_half_open(now_s, account) and not each.is_proved)
    ]


def _stood_back(targets: tuple[Target, ...], yielding: set[int], *, among_targets: bool) -> tuple[Target, ...]:
    """The same, with those that give way behind: keys behind the other keys of their target, and targets, where their order is
    not the caller's, behind the other targets. Fallbacks keep their place."""
    turned = [tuple(sorted(target, key=lambda attempt: id(attempt) in yielding)) for target in targets]
    if not among_targets:
        return tuple(turned)
    places = [at for at, target in enumerate(turned) if target[0].stands_in_on is None]
    ordered = sorted((turned[at] for at in places), key=lambda target: id(target[0]) in yielding)
    for at, target in zip(places, ordered, strict=True):
        turned[at] = target
    return tuple(turned)


def _only(rotation: tuple[Target, ...], is_kept: Callable[[Attempt], object]) -> tuple[Target, ...]:
    kept = (tuple(attempt for attempt in target if is_kept(attempt)) for target in rotation)
    return tuple(target for target in kept if target)
