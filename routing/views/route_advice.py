"""What is legal in routes and aliases and most likely a mistake: part of `routing.views.advice`.

Rule: a target, a condition or a fallback that changes nothing is told, since whoever wrote it believes that it does.
"""

import tomllib
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from routing.routes.route import GROUPS, Choice, Route, When
from routing.table.config import Config, Found, find
from routing.table.problem import Path
from routing.views.price_advice import Found as Advised

_CONTINENTS = {
    "europe": "eu",
    "eea": "eu",
    "european union": "eu",
    "gb": "uk",
    "united kingdom": "uk",
    "england": "uk",
    "america": "us",
    "usa": "us",
    "north america": "us",
    "united states": "us",
    "canada": "ca",
    "apac": "asia",
    "latam": "sa",
    "south america": "sa",
    "australia": "oceania",
}
"""What people call the groups of regions."""


_NO_CHOICE: dict[tuple[int, int] | None, str] = {(0, 24): "the whole day", (24, 0): "no hour of the day"}


def group_meant(region: str) -> str:
    """The group of regions that is written in another way; "" for what is one, or may be a region of somebody's own machines."""
    if region in GROUPS or any(region in group for group in GROUPS.values()):
        return ""
    folded = region.lower()
    if folded in GROUPS:
        return folded
    # Names of two or three letters are like too many others.
    alike = get_close_matches(folded, [name for name in GROUPS if len(name) > 3], 1, 0.7)
    return _CONTINENTS.get(folded) or (alike[0] if alike else "")


def of_routes(config: Config, text: str) -> Iterator[Advised]:
    document = tomllib.loads(text.removeprefix("\ufeff"))
    for name, targets in document.get("aliases", {}).items():
        at = ("aliases", name)
        yield from _of_doubles(targets if isinstance(targets, list) else [], at)
        yield from _of_attempts(config, config.aliases[name], config.policy.attempts_max, at, "other targets")
    for name, route in config.routes.items():
        yield from _of_route(config, route, ("routes", name))
    yield from _of_cases(config)


def _of_doubles(targets: list[Any], at: Path) -> Iterator[Advised]:
    for target, count in Counter(targets).items():
        if count > 1:
            yield "doubt", at, f"names {target} {count} times, and asks it once", "keep the first of them"


def _of_route(config: Config, route: Route, at: Path) -> Iterator[Advised]:
    if route.balance != "weighted" and any(choice.weight != 1 for choice in route.choices):
        message = f'gives weights that balance = "{route.balance}" does not look at'
        yield "doubt", at, message, 'leave them out, or write balance = "weighted"'
    yield from _of_doubles(list(route.fallback), (*at, "fallback"))
    for name in dict.fromkeys(route.fallback):
        if any(choice.to == name for choice in route.choices):
            message = f"names {name}, which is a target already, and is asked as one"
            yield "doubt", (*at, "fallback"), message, "leave it out here, or among the targets"
    yield from _of_targets(config, route, at)
    yield from _of_attempts(config, route.model_ids, route.policy.attempts_max, at, "other targets and fallback")


def _of_targets(config: Config, route: Route, at: Path) -> Iterator[Advised]:
    seen: list[Choice] = []
    for number, choice in enumerate(route.choices):
        place = (*at, "targets", number)
        if any((each.to, each.when) == (choice.to, choice.when) for each in seen):
            message = f"is {choice.to} once more, for the same requests"
            hint = "keep one of them" + (", with the sum of their weights" if route.balance == "weighted" else "")
            yield "doubt", place, message, hint
        elif route.balance == "in_order" and any(each.to == choice.to and each.when == When() for each in seen):
            yield "doubt", place, f"is {choice.to} once more, which stands above for all requests", "leave it out"
        seen.append(choice)
        yield from _of_condition(config, choice, place)


def _of_condition(config: Config, choice: Choice, at: Path) -> Iterator[Advised]:
    when, found = choice.when, find(config, choice.to)
    if when.region and (group := group_meant(when.region)):
        message = f"asks for the region {when.region!r}, which no machine is in by itself"
        yield "doubt", (*at, "when", "region"), message, f'did you mean "{group}"?'
    window = found.model.context_tokens if isinstance(found, Found) else None
    if when.prompt_tokens_over is not None and window is not None and when.prompt_tokens_over >= window:
        message = f"is for prompts of more than {when.prompt_tokens_over} tokens, and {choice.to} takes at most {window}"
        yield "doubt", (*at, "when", "prompt_tokens_over"), message, "lower it, or name a model with a longer window"
    if when.hours_utc in _NO_CHOICE:
        message, hint = f"is {_NO_CHOICE[when.hours_utc]}", "leave it out, or say which hours are meant"
        yield "doubt", (*at, "when", "hours_utc"), message, hint


def _of_attempts(config: Config, names: tuple[str, ...], attempts_max: int | None, at: Path, what: str) -> Iterator[Advised]:
    """Targets that are never asked, because nobody is asked twice."""
    known = [each.provider for name in names if isinstance(each := find(config, name), Found)]
    most = attempts_max or max((each.attempts_max for each in known), default=0)
    if most == 1 and len(names) > 1:
        hint = (
            "raise attempts_max in its policy, or of its providers"
            if attempts_max is None
            else "raise attempts_max in its policy"
        )
        yield "doubt", at, f"is tried once (attempts_max = 1), so its {what} never serve what has failed", hint


def _of_cases(config: Config) -> Iterator[Advised]:
    """Names that callers may write in any case, but for these."""
    models = [
        (model.id, ("providers", provider.name, "models", name))
        for provider in config.providers.values()
        for name, model in provider.models.items()
    ]
    names: list[tuple[str, Path]] = [*models, *((each, ("aliases", each)) for each in config.aliases)]
    names += [(each, ("routes", each)) for each in config.routes]
    known: dict[str, str] = {}
    for name, at in names:
        other = known.setdefault(name.lower(), name)
        if other != name:
            hint = "rename one: callers may write an id in any case, but these two only as they stand here"
            yield "doubt", at, f"differs from {other} in nothing but capital letters", hint
