"""The plan of a request: which providers are asked, in which order and at which price; or why none is.

Strategy: everything that does not change from request to request is laid out once per table and id (`Routes`). While all is
healthy, planning is one dictionary look-up.
Rule: how the targets of an id are laid out, and led around what is closed, is `routing.plan.row`'s.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from routing.plan.health import Health
from routing.plan.preferences import Preferences
from routing.plan.refusal import Refusal
from routing.plan.row import NO_SPEEDS, PlanRow, row_of, turned
from routing.plan.row import Attempt as Attempt
from routing.plan.row import Plan as Plan
from routing.plan.row import is_offered as is_offered
from routing.plan.unplanned import no_target, not_allowed
from routing.routes.route import ANYWHERE, Choice, Route, Situation
from routing.routes.situation import Speeds, targets_now
from routing.table.config import MODEL_ID_CHARS_MAX, Config, Found, find
from routing.table.model_id import Ids

ROWS_MAX: Final = 4_096
"""Ids that are remembered; beyond, they are worked out anew, so callers cannot fill the memory with names they make up."""
_NO_DIGESTS: Final[Mapping[str, str]] = {}


class _Branch(msgspec.Struct, frozen=True):
    """An id whose targets depend on the request."""

    route: Route
    model_id: str
    wishes: Preferences | None = None
    is_fixed: bool = False
    """Whether its targets are the same ones in the same order for every request, but for conversations that keep theirs."""


class Routes:
    """A routing table made ready for one set of keys. Build a new one when either changes."""

    def __init__(self, config: Config, offered: frozenset[str], digests: Mapping[str, str] = _NO_DIGESTS) -> None:
        """`digests` tell the values of the keys apart, by reference: health goes by them."""
        self.config = config
        self.offered = offered
        self._digests = digests
        self._rows: dict[str, PlanRow | Refusal | _Branch] = {}
        self._branches: dict[tuple[str, ...], PlanRow | Refusal] = {}
        """Of routes, by the id and the targets in their order."""
        self._wished: dict[tuple[object, ...], PlanRow | Refusal] = {}
        """Of callers' preferences, by the targets that they choose among."""
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
        if models_allowed or not isinstance(row, PlanRow):
            row = self._row_now(model_id, models_allowed, roll, situation, speeds, kept)
            if isinstance(row, Refusal):
                return row
        # The usual case: an id with one way to go, and nothing closed.
        return turned(row, health, now_s, roll, account) if health or len(row.plans) > 1 else row.plans[0]

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
        targets: tuple[str, ...] = ()
        groups: tuple[int, ...] = ()
        missing: Refusal | None = None
        for number, each in enumerate(dict.fromkeys((model_id, *wishes.models)) if wishes.models else (model_id,)):
            found = self._row_now(each, models_allowed, roll, situation, speeds, kept)
            if isinstance(found, PlanRow):
                if not wishes.models:
                    targets = found.target_ids
                else:
                    new = tuple(target for target in found.target_ids if target not in targets)
                    targets, groups = targets + new, groups + (number,) * len(new)
            elif found.code == "provider_not_configured":
                missing = found
            else:
                return found
        if missing is not None and not targets:
            return missing
        meant = self._ids.meant(model_id).id
        key = (meant, targets, groups, wishes.key)
        row = None if wishes.sorts_by_speed else self._wished.get(key)
        if row is None:
            if len(self._wished) >= ROWS_MAX:
                self._wished.clear()
            row = self._row_of(meant, targets, wishes, speeds, self.config.routes.get(meant), groups)
            if len(model_id) <= MODEL_ID_CHARS_MAX and not wishes.sorts_by_speed:
                self._wished[key] = row
        return row if isinstance(row, Refusal) else turned(row, health, now_s, roll, account)

    def route_of(self, model_id: str) -> Route | None:
        """The route that this id is called by; None where none is."""
        row = self._rows.get(model_id)
        if row is None:
            row = self._remember(model_id)
        return row.route if isinstance(row, _Branch) else None

    def _row_now(
        self,
        model_id: str,
        models_allowed: tuple[str, ...],
        roll: float,
        situation: Situation,
        speeds: Speeds,
        kept: str,
    ) -> PlanRow | Refusal:
        """The row of an id for one request of a caller who may use `models_allowed`."""
        row = self._rows.get(model_id)
        if row is None:
            row = self._remember(model_id)
        if isinstance(row, _Branch):
            row = self._branch(row, roll, situation, speeds, kept)
        if models_allowed and isinstance(row, PlanRow) and not is_allowed(row.model_id, row.target_ids, models_allowed):
            return not_allowed(row.model_id)
        return row

    def _row(self, model_id: str) -> "PlanRow | Refusal | _Branch":
        meant = self._ids.meant(model_id)
        if meant.refusal is not None:
            return meant.refusal
        sorts = meant.sorts_by_price or meant.sorts_by_speed
        wishes = Preferences(sorts_by_price=meant.sorts_by_price, sorts_by_speed=meant.sorts_by_speed) if sorts else None
        route = self.config.routes.get(meant.id)
        if route is not None:
            return _Branch(route, meant.id, wishes, is_fixed=wishes is None and route.is_fixed)
        aliased = self.config.aliases.get(meant.id)
        if aliased is not None and meant.sorts_by_speed and len(aliased) > 1:
            choices = tuple(Choice(each) for each in aliased)
            return _Branch(Route(meant.id, choices, policy=self.config.policy), meant.id, wishes)
        return self._row_of(meant.id, aliased or (meant.id,), wishes, NO_SPEEDS, None)

    def _branch(self, branch: _Branch, roll: float, situation: Situation, speeds: Speeds, kept: str) -> "PlanRow | Refusal":
        """The row of a route for one request: which targets there are now, and in which order."""
        route = branch.route
        if branch.is_fixed and not kept:
            row = self._branches.get((branch.model_id,))
            if row is not None:
                return row
        target_ids = (*targets_now(route, situation, roll, speeds, self._price_of, kept), *route.fallback)
        if not target_ids:
            return no_target(branch.model_id)
        if branch.wishes is not None:
            return self._row_of(branch.model_id, target_ids, branch.wishes, speeds, route)
        key = (branch.model_id,) if branch.is_fixed and not kept else (branch.model_id, *target_ids)
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
        self,
        model_id: str,
        target_ids: tuple[str, ...],
        wishes: Preferences | None,
        speeds: Speeds,
        route: Route | None,
        groups: tuple[int, ...] = (),
    ) -> "PlanRow | Refusal":
        return row_of(self.config, self.offered, model_id, target_ids, wishes, self._digests, speeds, route, groups)

    def _remember(self, model_id: str) -> "PlanRow | Refusal | _Branch":
        row = self._row(model_id)
        if len(self._rows) >= ROWS_MAX:
            self._rows.clear()
        if len(model_id) <= MODEL_ID_CHARS_MAX:
            self._rows[model_id] = row
        return row


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


def is_allowed(model_id: str, target_ids: tuple[str, ...], models_allowed: tuple[str, ...]) -> bool:
    """Whether the id itself is allowed, or everything it leads to is; where nothing is listed, all is."""
    return (
        not models_allowed
        or _matches(model_id, models_allowed)
        or all(_matches(target_id, models_allowed) for target_id in target_ids)
    )


def _matches(model_id: str, patterns: tuple[str, ...]) -> bool:
    return any(model_id.startswith(each[:-1]) if each.endswith("*") else model_id == each for each in patterns)
