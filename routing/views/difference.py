"""Two routing tables in terms of callers: what can no longer be called, what is new, what costs otherwise, where it goes instead.

Rule: an edit is told by what callers will notice, not by its lines. Pure: two tables in, lines out.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from routing.routes.route import Route
from routing.table.config import Config
from routing.table.endpoint import Endpoint
from routing.table.provider import Model, Provider
from routing.views.explanation import prices

_OF_PROVIDER: Final = (
    "connect_timeout_s",
    "first_byte_timeout_s",
    "idle_timeout_s",
    "total_timeout_s",
    "attempts_max",
    "on_disconnect",
    "transport",
    "verify",
    "allow_state",
    "trusts_served_tier",
    "usage_arithmetic",
    "max_tokens_field",
    "auth_header",
    "auth",
    "auth_scope",
    "region",
    "service",
    "parameters",
)
_OF_MODEL: Final = (
    "name",
    "context_tokens",
    "max_output_tokens",
    "image_tokens_max",
    "searches_max",
    "input_modalities",
    "output_modalities",
)


def difference(old: Config, new: Config) -> list[str]:
    """`- openai/gpt-4o: is gone`, `~ openai/gpt-4o: input …`; empty when no caller notices anything."""
    return [*_models(old, new), *_aliases(old, new), *_routes(old, new), *_providers(old, new), *_limits(old, new)]


def _models_of(config: Config) -> dict[str, Model]:
    return {model.id: model for provider in config.providers.values() for model in provider.models.values()}


def _models(old: Config, new: Config) -> Iterator[str]:
    before, after = _models_of(old), _models_of(new)
    for model_id in sorted(before.keys() | after.keys()):
        was, now = before.get(model_id), after.get(model_id)
        if now is None:
            assert was is not None
            yield f"- {model_id}: is gone{_instead(model_id, new)}"
        elif was is None:
            yield f"+ {model_id}: {prices(now.rates)}"
        else:
            yield from _changed(model_id, was, now)


def _instead(model_id: str, new: Config) -> str:
    provider = new.providers.get(model_id.partition("/")[0])
    return ", and is called at the price for unlisted models" if provider is not None and provider.unlisted is not None else ""


def _changed(model_id: str, was: Model, now: Model) -> Iterator[str]:
    if prices(was.rates) != prices(now.rates):
        yield f"~ {model_id}: {prices(was.rates)} -> {prices(now.rates)}"
    elif _tariff(was) != _tariff(now):
        yield f"~ {model_id}: other prices for long prompts or service tiers"
    yield from _changes(f"{model_id}:", was, now, _OF_MODEL)
    if was.serves != now.serves:
        before, after = (", ".join(model.serves) or "as its provider" for model in (was, now))
        yield f"~ {model_id}: serves {before} -> {after}"


def _tariff(model: Model) -> list[object]:
    """Its prices without the version of the table that they were read from."""
    tariffs = {"": model.tariff} | model.tariff.tiers
    return [(name, prices(t.rates), [(step.tokens, prices(step.rates)) for step in t.above]) for name, t in tariffs.items()]


def _aliases(old: Config, new: Config) -> Iterator[str]:
    for name in sorted(old.aliases.keys() | new.aliases.keys()):
        was, now = old.aliases.get(name), new.aliases.get(name)
        if was == now:
            continue
        if now is None:
            yield f"- {name}: the alias is gone"
        elif was is None:
            yield f"+ {name}: an alias of {', '.join(now)}"
        else:
            lost = [target for target in was if target not in now]
            won = [target for target in now if target not in was]
            parts = [f"loses {', '.join(lost)}"] * bool(lost) + [f"gains {', '.join(won)}"] * bool(won)
            yield f"~ {name}: {'; '.join(parts) or 'the order is now ' + ', '.join(now)}"


def _routes(old: Config, new: Config) -> Iterator[str]:
    for name in sorted(old.routes.keys() | new.routes.keys()):
        was, now = old.routes.get(name), new.routes.get(name)
        if was == now:
            continue
        if now is None:
            yield f"- {name}: the route is gone"
        elif was is None:
            yield f"+ {name}: a route to {', '.join(now.model_ids)}"
        else:
            yield from _of_route(was, now)


def _of_route(was: Route, now: Route) -> Iterator[str]:
    lost = [target for target in was.model_ids if target not in now.model_ids]
    won = [target for target in now.model_ids if target not in was.model_ids]
    if lost or won:
        parts = [f"loses {', '.join(lost)}"] * bool(lost) + [f"gains {', '.join(won)}"] * bool(won)
        yield f"~ {now.id}: {'; '.join(parts)}"
    elif was.choices != now.choices:
        yield f"~ {now.id}: other shares or conditions for the same targets"
    elif was.fallback != now.fallback:
        yield f"~ {now.id}: fallbacks are now {', '.join(now.fallback) or 'none'}"
    if was.fallback_on != now.fallback_on:
        yield f"~ {now.id}: fallback_on is now {', '.join(sorted(now.fallback_on))}"
    yield from _changes(f"{now.id}:", was, now, ("balance", "sticky_s"))
    if was.policy != now.policy:
        yield f"~ {now.id}: is served under another policy"


def _providers(old: Config, new: Config) -> Iterator[str]:
    for name in sorted(old.providers.keys() & new.providers.keys()):
        yield from _of_provider(old.providers[name], new.providers[name])


def _of_provider(was: Provider, now: Provider) -> Iterator[str]:
    if was.base_url != now.base_url:
        yield f"~ provider {now.name}: is asked at {now.base_url.text} instead of {was.base_url.text}"
    if was.key_refs != now.key_refs:
        yield f"~ provider {now.name}: keys {_told(was.key_refs)} -> {_told(now.key_refs)}"
    if (was.unlisted is None) != (now.unlisted is None):
        state = "have a price" if now.unlisted else "cannot be called any more"
        yield f"~ provider {now.name}: models that are not listed {state}"
    elif was.unlisted is not None and now.unlisted is not None and prices(was.unlisted) != prices(now.unlisted):
        yield f"~ provider {now.name}: unlisted models {prices(was.unlisted)} -> {prices(now.unlisted)}"
    place = f"provider {now.name}:"
    yield from _changes(place, was, now, _OF_PROVIDER)
    yield from _changes(f"{place} rate_limits", was.rate_limits, now.rate_limits, now.rate_limits.__struct_fields__, "none")
    yield from _changes(f"{place} data", was.data, now.data, now.data.__struct_fields__)
    before, after = ({each.format: each for each in provider.endpoints} for provider in (was, now))
    if list(before) != list(after):
        yield f"~ {place} serves {', '.join(before)} -> {', '.join(after)}"
    for format in [each for each in after if each in before]:
        # Not what they are: headers may hold secrets.
        others = [name for name in Endpoint.__struct_fields__ if getattr(before[format], name) != getattr(after[format], name)]
        if others:
            yield f"~ {place} endpoints.{format} has another {', '.join(others)}"


def _limits(old: Config, new: Config) -> Iterator[str]:
    yield from _changes("limits:", old.limits, new.limits, new.limits.__struct_fields__)
    for name in new.rate_limits.__struct_fields__:
        before, after = getattr(old.rate_limits, name), getattr(new.rate_limits, name)
        yield from _changes(f"rate_limits: {name}", before, after, after.__struct_fields__, "none")
    if old.cors_origins != new.cors_origins:
        yield f"~ cors: origins {_told(old.cors_origins)} -> {_told(new.cors_origins)}"


def _changes(place: str, was: object, now: object, names: Iterable[str], unset: str = "unknown") -> Iterator[str]:
    """A line for each of these fields that differs; `unset` is what None means."""
    for name in names:
        before, after = getattr(was, name), getattr(now, name)
        if before != after:
            yield f"~ {place} {name} {_told(before, unset)} -> {_told(after, unset)}"


def _told(value: object, unset: str = "unknown") -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return unset if value is None else f"{value:g}" if isinstance(value, float) else str(value) or "none"
