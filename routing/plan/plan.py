"""The plan of a request: which providers are asked, in which order and at which price; or why none is.

Strategy: everything that does not change from request to request is laid out once per table and id (`Routes`). While all is
healthy, planning is one dictionary look-up.
Rule: the targets of an alias are asked in their order, and each has its turn before any target's second key; how many are asked,
`routing.failures.failover` says. Rule: a request is a trial only where nothing that is well is left, or after a trial at no cost.
Limits: a plan has at most ATTEMPTS_LISTED_MAX attempts.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from routing.plan.health import Health, Scopes
from routing.plan.preferences import Preferences
from routing.plan.refusal import Refusal
from routing.plan.situation import Speeds, targets_now
from routing.plan.unplanned import no_target, none_admitted, not_allowed, not_found, not_offered, unavailable
from routing.table.config import MODEL_ID_CHARS_MAX, Config, Found, find
from routing.table.endpoint import CHAT
from routing.table.model_id import Ids
from routing.table.provider import Model, Provider
from routing.table.route import ANYWHERE, DEFAULT_POLICY, Choice, Route, RoutePolicy, Situation
from usage.record import Rates

ROWS_MAX: Final = 4_096
"""Ids that are remembered; beyond, they are worked out anew, so callers cannot fill the memory with names they make up."""
SAME_TARGET_ATTEMPTS: Final = 2
"""A lone target with a lone key is asked again, so that a request that never left may."""
ATTEMPTS_LISTED_MAX: Final = 16
_NO_DIGESTS: Final[Mapping[str, str]] = {}
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
    """`model_id` is what the caller asked for; `attempts` is never empty."""

    model_id: str
    attempts: tuple[Attempt, ...]


Target = tuple[Attempt, ...]
"""One model with each key that may be tried, in the order of trial."""


class _Branch(msgspec.Struct, frozen=True):
    """An id whose targets depend on the request."""

    route: Route
    model_id: str
    wishes: Preferences | None = None


class _Row(msgspec.Struct, frozen=True):
    """What is known of an id beforehand: its targets and plan for each rotation of the keys."""

    rotations: tuple[tuple[Target, ...], ...]
    plans: tuple[Plan, ...]
    attempts_max: int
    target_ids: tuple[str, ...]
    scopes: frozenset[str]
    model_id: str


class Routes:
    """A routing table made ready for one set of keys. Build a new one when either changes."""

    def __init__(self, config: Config, offered: frozenset[str], digests: Mapping[str, str] = _NO_DIGESTS) -> None:
        """`digests` tell the values of the keys apart, by reference: health goes by them."""
        self.config = config
        self.offered = offered
        self._digests = digests
        self._rows: dict[str, _Row | Refusal | _Branch] = {}
        self._branches: dict[tuple[str, ...], _Row | Refusal] = {}
        """Of routes, by the id and the targets in their order."""
        self._ids = Ids(config)

    def __repr__(self) -> str:
        return f"<Routes {self.config.version}, {len(self.config.providers)} providers, {len(self.offered)} keys>"

    def plan(
        self,
        model_id: str,
        models_allowed: tuple[str, ...],
        health: Mapping[str, Health],
        now_s: float,
        roll: float,
        account: str = "",
        situation: Situation = ANYWHERE,
        speeds: Speeds = NO_SPEEDS,
        kept: str = "",
    ) -> Plan | Refusal:
        """The plan for one request of an account. `roll` in [0, 1) spreads requests over targets and keys.

        `models_allowed` are the model ids, or prefixes ending in `*`, that the caller's key may use; empty means all. `kept` is
        the target that this conversation stays with, where its route is sticky.
        """
        row = self._rows.get(model_id)
        if row is None:
            row = self._remember(model_id)
        if isinstance(row, _Branch):
            row = self._branch(row, roll, situation, speeds, kept)
        if isinstance(row, Refusal):
            return row
        if models_allowed and not _is_allowed(row.model_id, row.target_ids, models_allowed):
            return not_allowed(row.model_id)
        return _turned(row, health, now_s, roll, account)

    def plan_with(
        self,
        model_id: str,
        wishes: Preferences,
        models_allowed: tuple[str, ...],
        health: Mapping[str, Health],
        now_s: float,
        roll: float,
        account: str = "",
        situation: Situation = ANYWHERE,
        speeds: Speeds = NO_SPEEDS,
        kept: str = "",
    ) -> Plan | Refusal:
        """As `plan`, for a caller who names models to fall back to, or has wishes about providers. Every model that may be asked
        must be allowed by itself."""
        target_ids: list[str] = []
        missing: Refusal | None = None
        for each in dict.fromkeys((model_id, *wishes.models)):
            planned = self.plan(each, models_allowed, {}, now_s, roll, "", situation, speeds, kept)
            if isinstance(planned, Plan):
                target_ids += dict.fromkeys(attempt.model.id for attempt in planned.attempts)
            elif planned.code == "provider_not_configured":
                missing = planned
            else:
                return planned
        if missing is not None and not target_ids:
            return missing
        meant = self._ids.meant(model_id).id
        row = self._row_of(meant, tuple(dict.fromkeys(target_ids)), wishes, speeds, self.config.routes.get(meant))
        return row if isinstance(row, Refusal) else _turned(row, health, now_s, roll, account)

    def route_of(self, model_id: str) -> Route | None:
        """The route that this id is called by; None where none is."""
        row = self._rows.get(model_id)
        if row is None:
            row = self._remember(model_id)
        return row.route if isinstance(row, _Branch) else None

    def _row(self, model_id: str) -> "_Row | Refusal | _Branch":
        meant = self._ids.meant(model_id)
        if meant.refusal is not None:
            return meant.refusal
        sorts = meant.sorts_by_price or meant.sorts_by_speed
        wishes = Preferences(sorts_by_price=meant.sorts_by_price, sorts_by_speed=meant.sorts_by_speed) if sorts else None
        route = self.config.routes.get(meant.id)
        if route is not None:
            return _Branch(route, meant.id, wishes)
        aliased = self.config.aliases.get(meant.id)
        if aliased is not None and meant.sorts_by_speed and len(aliased) > 1:
            choices = tuple(Choice(each) for each in aliased)
            return _Branch(Route(meant.id, choices, policy=self.config.policy), meant.id, wishes)
        return self._row_of(meant.id, aliased or (meant.id,), wishes, NO_SPEEDS, None)

    def _branch(self, branch: _Branch, roll: float, situation: Situation, speeds: Speeds, kept: str) -> "_Row | Refusal":
        """The row of a route for one request: which targets there are now, and in which order."""
        route = branch.route
        target_ids = (*targets_now(route, situation, roll, speeds, self._price_of, kept), *route.fallback)
        if not target_ids:
            return no_target(branch.model_id)
        if branch.wishes is not None:
            return self._row_of(branch.model_id, target_ids, branch.wishes, speeds, route)
        key = (branch.model_id, *target_ids)
        row = self._branches.get(key)
        if row is None:
            if len(self._branches) >= ROWS_MAX:
                self._branches.clear()
            row = self._branches[key] = self._row_of(branch.model_id, target_ids, None, speeds, route)
        return row

    def _price_of(self, model_id: str) -> int:
        found = find(self.config, model_id)
        return found.model.rates.input + found.model.rates.output if isinstance(found, Found) else 0

    def _row_of(
        self, model_id: str, target_ids: tuple[str, ...], wishes: Preferences | None, speeds: Speeds, route: Route | None
    ) -> "_Row | Refusal":
        return _row_of(self.config, self.offered, model_id, target_ids, wishes, self._digests, speeds, route)

    def _remember(self, model_id: str) -> "_Row | Refusal | _Branch":
        row = self._row(model_id)
        if len(self._rows) >= ROWS_MAX:
            self._rows.clear()
        if len(model_id) <= MODEL_ID_CHARS_MAX:
            self._rows[model_id] = row
        return row


def _turned(row: _Row, health: Mapping[str, Health], now_s: float, roll: float, account: str) -> Plan | Refusal:
    """The plan of a row, its keys rotated by the roll, around what is closed."""
    turn = int(roll * len(row.plans)) if len(row.plans) > 1 else 0
    if health and not row.scopes.isdisjoint(health):
        return _plan_around(row, turn, health, now_s, account)
    return row.plans[turn]


def plan(
    config: Config,
    offered: frozenset[str],
    model_id: str,
    models_allowed: tuple[str, ...],
    health: Mapping[str, Health],
    now_s: float,
    roll: float,
) -> Plan | Refusal:
    """One plan without a table kept for the next; see `Routes.plan`."""
    return Routes(config, offered).plan(model_id, models_allowed, health, now_s, roll)


def is_offered(provider: Provider, offered: frozenset[str]) -> bool:
    """Whether there is a key for it, or it needs none."""
    return not provider.key_refs or not offered.isdisjoint(provider.key_refs)


def _row_of(
    config: Config,
    offered: frozenset[str],
    model_id: str,
    target_ids: tuple[str, ...],
    wishes: Preferences | None,
    digests: Mapping[str, str],
    speeds: Speeds = NO_SPEEDS,
    route: Route | None = None,
) -> _Row | Refusal:
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
        usable = sorted(
            admitted, key=lambda each: wishes.rank(each.provider.name, each.model.rates, speeds.get(each.model.id, 0))
        )
        usable = usable if wishes.allows_fallbacks or wishes.models else usable[:1]
    policy = config.policy if route is None else route.policy
    targets = [_target(each, offered, digests, policy, _stands_in_on(each.model.id, route)) for each in usable]
    attempts_max = policy.attempts_max or max(each.provider.attempts_max for each in usable)
    turns = range(max(map(len, targets)))
    rotations = tuple(tuple(_rotated(target, turn) for target in targets) for turn in turns)
    plans = tuple(Plan(model_id, _laid_out(rotation, attempts_max)) for rotation in rotations)
    scopes = frozenset(scope for target in targets for attempt in target for scope in attempt.scopes.all)
    return _Row(rotations, plans, attempts_max, tuple(each.model.id for each in usable), scopes, model_id)


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
    return tuple(attempts + rest)[: ATTEMPTS_LISTED_MAX if attempts_max > 1 else 1]


def _plan_around(row: _Row, turn: int, health: Mapping[str, Health], now_s: float, account: str) -> Plan | Refusal:
    """The plan without what is open now, and with what needs a trial behind all that is well."""
    rotation = row.rotations[turn]
    known = {id(each): _ill(each, health, now_s, account) for target in rotation for each in target}
    if not any(known.values()):
        return row.plans[turn]
    opened = {at: [each for each in ill if each.is_open(now_s, account)] for at, ill in known.items()}
    well = _only(rotation, lambda attempt: not known[id(attempt)])
    trials = _only(rotation, lambda attempt: known[id(attempt)] and not opened[id(attempt)])
    model_id = row.plans[turn].model_id
    if well and row.attempts_max > 1:
        behind = tuple(attempt for target in trials for attempt in target)
        return Plan(model_id, (_laid_out(well, row.attempts_max) + behind)[:ATTEMPTS_LISTED_MAX])
    if well or trials:
        return Plan(model_id, _laid_out(well or trials, row.attempts_max))
    closed = list(opened.values())
    wait_s = min(max(each.open_until_s for each in ill) for ill in closed) - now_s
    return unavailable(model_id, wait_s, closed)


def _ill(attempt: Attempt, health: Mapping[str, Health], now_s: float, account: str) -> list[Health]:
    """What speaks against trying it now: what is open, and what is half-open and not proved to be well again."""
    known = (health.get(scope) for scope in attempt.scopes.all)
    return [
        each
        for each in known
        if each is not None and (each.is_open(now_s, account) or (each.is_half_open(now_s, account) and not each.is_proved))
    ]


def _only(rotation: tuple[Target, ...], is_kept: Callable[[Attempt], object]) -> tuple[Target, ...]:
    kept = (tuple(attempt for attempt in target if is_kept(attempt)) for target in rotation)
    return tuple(target for target in kept if target)


def _is_allowed(model_id: str, target_ids: tuple[str, ...], models_allowed: tuple[str, ...]) -> bool:
    """Whether the id itself is allowed, or everything it leads to is."""
    return _matches(model_id, models_allowed) or all(_matches(target_id, models_allowed) for target_id in target_ids)


def _matches(model_id: str, patterns: tuple[str, ...]) -> bool:
    return any(model_id.startswith(each[:-1]) if each.endswith("*") else model_id == each for each in patterns)
