"""Aliases, routes and policies as they are read from the routing table's text.

Rule: each target must be a model that can be called; a name that leads nowhere is a problem of the file, not of a request.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from routing.routes.route import (
    ALWAYS,
    BALANCES,
    DEFAULT_POLICY,
    FALLBACK_ON,
    PARTS,
    REASONS,
    Breaker,
    Choice,
    DataTerms,
    Route,
    RoutePolicy,
    When,
)
from routing.table import field
from routing.table.field import TomlTable
from routing.table.problem import Wrong, kind_of, nearest

IsModel = Callable[[str], bool]
LeadsNowhere = Callable[[str], Wrong]
ALIASES_MAX = 32
"""So many may one lead through."""


def read_aliases(
    table: TomlTable, is_model: IsModel, known: tuple[str, ...], routes: frozenset[str]
) -> dict[str, tuple[str, ...]]:
    """The model ids that each alias leads to, through other aliases if need be, each once and in order."""
    written: dict[str, tuple[str, ...]] = {name: table.take(name, _ids, ()) for name in table.values}
    return {name: _resolved(table, name, written, is_model, known, routes) for name in written}


def _ids(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (field.text(value),)
    if not isinstance(value, list):
        raise Wrong(f"is {kind_of(value)}; a model id, or a list of them, is expected", 'such as "openai/gpt-4o-mini"')
    return field.items(field.text)(value)


def _resolved(
    table: TomlTable,
    name: str,
    written: Mapping[str, tuple[str, ...]],
    is_model: IsModel,
    known: tuple[str, ...],
    routes: frozenset[str],
) -> tuple[str, ...]:
    if is_model(name):
        table.blame(Wrong("is already the id of a model", "choose another name"), name)
        return ()
    reached: dict[str, None] = {}
    followed: set[str] = set()

    def follow(target: str, via: tuple[str, ...]) -> None:
        if target in via:
            table.blame(Wrong(f"leads back to itself: {' -> '.join((*via, target))}", "let it end at a model"), name)
        elif len(via) > ALIASES_MAX:
            table.blame(Wrong(f"leads through more than {ALIASES_MAX} other aliases", "name the models themselves"), name)
        elif target in written:
            # Each once: thirty aliases that name the next one twice would be a thousand million ways.
            if target not in followed:
                followed.add(target)
                for following in written[target]:
                    follow(following, (*via, target))
        elif is_model(target):
            reached[target] = None
        elif target in routes:
            hint = "an alias leads to models: give the route a second name as one more"
            table.blame(Wrong(f'leads to "{target}", which is a route', hint), name)
        else:
            guess = nearest(target, known)
            hint = f'did you mean "{guess}"?' if guess else ""
            table.blame(Wrong(f'leads to "{target}", which is neither a model nor an alias', hint), name)

    follow(name, ())
    return tuple(reached)


def read_policies(table: TomlTable) -> dict[str, RoutePolicy]:
    return {name: _policy(inner, name) for name, inner in table.tables()}


def _policy(table: TomlTable, name: str) -> RoutePolicy:
    usual = DEFAULT_POLICY
    timeout_s = table.take("first_token_timeout_s", field.seconds, None)
    abandoned = table.take("abandoned", field.one_of("ours"), None)
    if timeout_s is not None and not table.has("abandoned"):
        hint = 'the provider may bill what nobody waits for; abandoned = "ours" says that the house pays it, never the caller'
        table.blame(Wrong("needs abandoned beside it", hint), "first_token_timeout_s")
    if abandoned is not None and not table.has("first_token_timeout_s"):
        table.blame(Wrong("means nothing without first_token_timeout_s", "add that, or leave this out"), "abandoned")
    policy = RoutePolicy(
        name,
        table.take("attempts_max", field.whole(), None),
        timeout_s,
        table.take("retry_budget", field.share, usual.retry_budget),
        _breaker(table.table("breaker")),
    )
    table.close()
    return policy


def _breaker(table: TomlTable) -> Breaker:
    usual = Breaker()
    breaker = Breaker(
        table.take("failures", field.whole(), usual.failures),
        table.take("cool_down_s", field.seconds, usual.cool_down_s),
        table.take("cool_down_s_max", field.seconds, usual.cool_down_s_max),
        table.take("closed_at_most", field.share, usual.closed_at_most),
        table.take("failure_rate", _rate, None),
        table.take("window_s", field.seconds, usual.window_s),
    )
    table.close()
    if table.has("window_s") and not table.has("failure_rate"):
        table.blame(Wrong("means nothing without failure_rate", "add that, or leave this out"), "window_s")
    if breaker.cool_down_s > breaker.cool_down_s_max:
        table.blame(Wrong(f"is larger than cool_down_s_max, {breaker.cool_down_s_max:g}", "lower it"), "cool_down_s")
    return breaker


def _rate(value: Any) -> float:
    rate = field.share(value)
    if not rate:
        raise Wrong("is 0, which any failure exceeds", "such as 0.5 for a half")
    return rate


def read_default_policy(table: TomlTable, policies: Mapping[str, RoutePolicy]) -> RoutePolicy:
    policy = _named_policy(table, policies, DEFAULT_POLICY)
    table.close()
    return policy


def _named_policy(table: TomlTable, policies: Mapping[str, RoutePolicy], default: RoutePolicy) -> RoutePolicy:
    name = table.take("policy", field.text, None)
    if name is None:
        return default
    if name not in policies:
        guess = nearest(name, policies)
        hint = f'did you mean "{guess}"?' if guess else f"write [policies.{name}]"
        table.blame(Wrong(f'names the policy "{name}", which there is not', hint), "policy")
    return policies.get(name, default)


def read_routes(
    table: TomlTable,
    policies: Mapping[str, RoutePolicy],
    default: RoutePolicy,
    is_model: IsModel,
    known: tuple[str, ...],
    aliases: frozenset[str],
) -> dict[str, Route]:
    """`known` are the ids that a misspelt one is compared with."""
    routes = {}
    leads_nowhere = partial(_leads_nowhere, known=known, aliases=aliases, routes=frozenset(table.values))
    for name, inner in table.tables():
        if name in aliases:
            inner.blame(Wrong("is already an alias", "keep one of the two: a route can do what an alias does"))
        routes[name] = _route(inner, name, policies, default, is_model, leads_nowhere)
    return routes


def _route(
    table: TomlTable,
    name: str,
    policies: Mapping[str, RoutePolicy],
    default: RoutePolicy,
    is_model: IsModel,
    leads_nowhere: LeadsNowhere,
) -> Route:
    choices = tuple(_choices(table, is_model, leads_nowhere))
    fallback: tuple[str, ...] = table.take("fallback", field.items(field.text), ())
    for number, target in enumerate(fallback):
        if not is_model(target):
            table.blame(leads_nowhere(target), "fallback", number)
    on = table.take("fallback_on", field.items(field.one_of(*REASONS)), None)
    if on is not None and not fallback:
        table.blame(Wrong("means nothing without fallback", "list the models to fall back to, or leave this out"), "fallback_on")
    balance: Any = table.take("balance", field.one_of(*BALANCES), "weighted" if _has_weights(choices) else "in_order")
    route = Route(
        name,
        choices,
        tuple(each for each in fallback if is_model(each)),
        FALLBACK_ON if on is None else frozenset(on),
        balance,
        table.take("sticky_s", field.seconds, 0.0),
        _named_policy(table, policies, default),
    )
    table.close()
    is_read = not any(path[: len(table.path)] == table.path for path, _ in table.found)
    if choices and all(each.when is not ALWAYS for each in choices) and not fallback and is_read:
        hint = "let the last target, or a fallback, stand without a condition"
        table.blame(Wrong("has no target for a request that meets none of the conditions", hint), "targets")
    return route


def _has_weights(choices: tuple[Choice, ...]) -> bool:
    return any(each.weight != 1 for each in choices)


def _leads_nowhere(target: str, known: tuple[str, ...], aliases: frozenset[str], routes: frozenset[str]) -> Wrong:
    if target in aliases or target in routes:
        kind = "an alias" if target in aliases else "a route"
        return Wrong(f'leads to "{target}", which is {kind}', "a route leads to models: name those that are meant")
    guess = nearest(target, known)
    return Wrong(f'leads to "{target}", which is no model here', f'did you mean "{guess}"?' if guess else "")


def _choices(table: TomlTable, is_model: IsModel, leads_nowhere: LeadsNowhere) -> list[Choice]:
    written = table.need("targets", _list, [], 'such as [{ to = "openai/gpt-4o" }, { to = "azure/gpt-4o", weight = 2 }]')
    choices = []
    for number, value in enumerate(written):
        inner = TomlTable({"to": value} if isinstance(value, str) else value, (*table.path, "targets", number), table.found)
        to = inner.need("to", field.text, "", 'the id of a model, such as "openai/gpt-4o"')
        choice = Choice(to, inner.take("weight", field.whole(), 1), _when(inner))
        inner.close()
        if to and not is_model(to):
            inner.blame(leads_nowhere(to), *(() if isinstance(value, str) else ("to",)))
        elif to:
            choices.append(choice)
    return choices


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        hint = 'such as [{ to = "openai/gpt-4o", weight = 8 }]'
        raise Wrong("is empty" if value == [] else f"is {kind_of(value)}; a list of targets is expected", hint)
    return value


def _when(table: TomlTable) -> When:
    inner = table.table("when")
    if not table.has("when"):
        return ALWAYS
    when = When(
        inner.take("region", field.text, None),
        frozenset(inner.take("has", field.items(field.one_of(*PARTS)), ())),
        inner.take("prompt_tokens_over", field.whole(0), None),
        inner.take("max_tokens_over", field.whole(0), None),
        inner.take("stream", field.flag, None),
        inner.take("hours_utc", _hours, None),
    )
    inner.close()
    if inner.is_table and not inner.values:
        inner.blame(Wrong("is empty", f"a condition is one of {', '.join(inner.known)}; without one leave it out"))
    return when


def _hours(value: Any) -> tuple[int, int]:
    is_pair = isinstance(value, list) and len(value) == 2
    if not is_pair or not all(isinstance(each, int) and not isinstance(each, bool) and 0 <= each <= 24 for each in value):
        raise Wrong("is no pair of hours from 0 to 24", "such as [22, 6], from 22:00 to before 6:00 UTC")
    if value[0] == value[1]:
        raise Wrong("begins when it ends", "for the whole day leave it out")
    return value[0], value[1]


def read_data_terms(table: TomlTable) -> DataTerms:
    """`data = { trains = false, retains_days = 0, regions = ["eu"] }`."""
    terms = DataTerms(
        table.take("trains", field.flag, None),
        table.take("retains_days", field.whole(0), None),
        table.take("regions", field.items(field.text), ()),
    )
    table.close()
    return terms
