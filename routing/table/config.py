"""The routing table: the text of providers.toml as one frozen value.

Rule: a table is either right or refused as a whole, with every problem named at once (`routing.table.problem.ConfigError`).
Rule: what is called must have a price. A model that is not listed has none, unless its provider says what unlisted ones cost.
Limits: nothing is read but the text; whether a key's reference leads anywhere is the caller's to find out.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from routing.request.parameters import OPENAI, taken
from routing.routes.likeness import with_inherited
from routing.routes.parser import read_aliases, read_default_policy, read_policies, read_routes
from routing.routes.route import DEFAULT_POLICY, Route, RoutePolicy
from routing.table import field
from routing.table.entry import NAME_HINT, NO_PRICE, odd_in, read_provider
from routing.table.field import TomlTable
from routing.table.limit_terms import LIMIT_FIELDS, read_rate_limits
from routing.table.positions import line_of, lines
from routing.table.price_list import has_price
from routing.table.problem import ConfigError as ConfigError
from routing.table.problem import Path, Problem, Wrong, dotted, reading_problem, syntax_problem
from routing.table.provider import ECHO, Model, Provider, echo
from routing.table.tariff import Tariff
from usage.limit import NO_LIMITS, LimitTerms

MIB: Final = 1024 * 1024
MODEL_ID_CHARS_MAX: Final = 256
_UNLISTED_KEY: Final = re.compile(r"[!-~]+\Z")
_DOTS: Final = frozenset((".", ".."))
"""What lies between the slashes of no model's name: in the path of a request it would lead to another one."""


class Limits(msgspec.Struct, frozen=True):
    """Bounds on one caller, one provider and the whole process. What each means stands at the top of providers.toml."""

    body_bytes_max: int = 32 * MIB
    body_timeout_s: float = 15.0
    body_rate_min: int = 1024
    """Bytes per second that have to come in each `body_timeout_s`."""
    header_count_max: int = 64
    reader_timeout_s: float = 30.0
    inflight_body_bytes_max: int = 256 * MIB
    keepalive_comment_s: float = 15.0
    finish_timeout_s: float = 2.0
    response_bytes_max: int = 64 * MIB
    line_bytes_max: int = 16 * MIB
    open_requests_max: int = 65_536
    """Of all accounts, streams included."""
    loop_lag_max_s: float = 1.0
    """Of the event loop's timers, averaged over a second."""


class RateLimits(msgspec.Struct, frozen=True):
    """What every key and every account may use, where nothing else was set for it."""

    key: LimitTerms = NO_LIMITS
    account: LimitTerms = NO_LIMITS


class Config(msgspec.Struct, frozen=True):
    """The routing table. `version` names the text it was read from; `aliases` lead straight to model ids, in fallback order."""

    version: str
    providers: dict[str, Provider]
    aliases: dict[str, tuple[str, ...]] = {}
    limits: Limits = Limits()
    has_free_models: bool = False
    """Whether anything can be called that costs nothing."""
    cors_origins: tuple[str, ...] = ()
    """Origins (scheme, host, port) of pages that may call from a browser; `*` is any."""
    routes: dict[str, Route] = {}
    """By what callers ask for: a name of its own, or a model's id."""
    policy: RoutePolicy = DEFAULT_POLICY
    """Of what no route says otherwise."""
    rate_limits: RateLimits = RateLimits()

    def targets_of(self, model_id: str) -> tuple[str, ...]:
        """The ids of models that a name may lead to: its own, an alias's, a route's."""
        route = self.routes.get(model_id)
        return self.aliases.get(model_id, (model_id,)) if route is None else route.model_ids


class Found(msgspec.Struct, frozen=True):
    provider: Provider
    model: Model


class NotFound(msgspec.Struct, frozen=True):
    """No model of that id can be called. `provider` is set when a provider takes the prefix, but has no price for the rest."""

    provider: Provider | None = None


def parse(text: str) -> Config:
    """The routing table; ConfigError names every problem with its place and what would be right."""
    text = text.removeprefix("\ufeff")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((syntax_problem(str(error), text),)) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, arrays nested too deeply
        raise ConfigError((reading_problem(error, text),)) from None
    found: list[tuple[Path, Wrong]] = []
    config = _read(TomlTable(document, (), found), hashlib.sha256(text.encode()).hexdigest()[:12])
    if found:
        known, blamed = lines(text), {path for path, _ in found}
        problems = [
            Problem(dotted(path), line_of(path, known), wrong.message, wrong.hint)
            for path, wrong in found
            if not _is_inherited(path, document) and not (wrong.message == NO_PRICE and (*path, "like") in blamed)
        ]
        raise ConfigError(tuple(sorted(problems, key=lambda problem: problem.line)))
    return config


def _is_inherited(path: Path, document: dict[str, Any]) -> bool:
    """Whether it is a model's that the provider takes over from another, where it is a problem already."""
    if len(path) < 4 or path[0] != "providers" or path[2] != "models":
        return False
    provider = document["providers"].get(path[1])
    return isinstance(provider, dict) and "like" in provider and path[3] not in provider.get("models", {})


def _read(table: TomlTable, version: str) -> Config:
    limits = _read_limits(table.table("limits"))
    providers_table = table.table("providers")
    providers_table.values = with_inherited(providers_table)
    tables = providers_table.tables()
    providers = {name: read_provider(inner, name, version) for name, inner in tables}
    providers.setdefault(ECHO, echo(version))
    for name, inner in tables:
        _blame_hidden_models(inner, providers[name], providers)
    aliases_table, routes_table = table.table("aliases"), table.table("routes")
    known = (*(model.id for each in providers.values() for model in each.models.values()), *aliases_table.values)

    def is_model(name: str) -> bool:
        return isinstance(_find(providers, name), Found)

    aliases = read_aliases(aliases_table, is_model, known, frozenset(routes_table.values))
    policies = read_policies(table.table("policies"))
    policy = read_default_policy(table.table("defaults"), policies)
    for named in (aliases_table, routes_table):
        _blame_names(named)
    routes = read_routes(routes_table, policies, policy, is_model, known, frozenset(aliases))
    cors = table.table("cors")
    cors_origins = cors.take("origins", field.items(field.origin), ())
    cors.close()
    rates = table.table("rate_limits")
    rate_limits = RateLimits(read_rate_limits(rates.table("key")), read_rate_limits(rates.table("account")))
    for name in rates.values.keys() & set(LIMIT_FIELDS):
        rates.known.append(name)
        rates.blame(
            Wrong("stands above the tables that it belongs to", "write it in [rate_limits.key] or [rate_limits.account]"), name
        )
    rates.close()
    table.close()
    return Config(version, providers, aliases, limits, _has_free(providers), cors_origins, routes, policy, rate_limits)


def _read_limits(table: TomlTable) -> Limits:
    defaults = Limits()
    taken: dict[str, Any] = {}
    for name in Limits.__struct_fields__:
        check: Any = field.seconds if name.endswith("_s") else field.whole()
        taken[name] = table.take(name, check, getattr(defaults, name))
    limits = Limits(**taken)
    table.close()
    for smaller, larger in (("body_bytes_max", "inflight_body_bytes_max"), ("line_bytes_max", "response_bytes_max")):
        if taken[smaller] > taken[larger]:
            table.blame(Wrong(f"is larger than {larger}, {taken[larger]}", f"lower it, or raise {larger}"), smaller)
    return limits


_FREE_ANYHOW: Final = ("moderations",)
"""A verdict costs nothing anywhere: that is no reason to read large bodies of who has nothing."""


def _has_free(providers: Mapping[str, Provider]) -> bool:
    for provider in providers.values():
        rates = [model.rates for model in provider.models.values() if model.serves != _FREE_ANYHOW]
        rates += [provider.unlisted] if provider.unlisted is not None else []
        if not all(map(has_price, rates)):
            return True
    return False


def _blame_hidden_models(table: TomlTable, provider: Provider, providers: dict[str, Provider]) -> None:
    for key, model in provider.models.items():
        owner = _owner(providers, model.id)
        if owner is not None and owner.name != provider.name:
            wrong = Wrong(
                f"can never be called: {model.id} belongs to the provider {owner.name}", "list it there, or rename one of the two"
            )
            table.blame(wrong, "models", key)


def _blame_names(table: TomlTable) -> None:
    """A name that no caller can write, or not the way that it looks."""
    for name in table.values:
        if not _UNLISTED_KEY.match(name) or len(name) > MODEL_ID_CHARS_MAX:
            table.blame(Wrong("is no name that a caller can use", NAME_HINT + odd_in(name)), name)


def _owner(providers: Mapping[str, Provider], model_id: str) -> Provider | None:
    """The provider with the longest name that is a prefix of the id and ends at a slash."""
    end = model_id.rfind("/")
    while end > 0:
        provider = providers.get(model_id[:end])
        if provider is not None:
            return provider
        end = model_id.rfind("/", 0, end)
    return None


def _find(providers: Mapping[str, Provider], model_id: str) -> Found | NotFound:
    provider = _owner(providers, model_id) if len(model_id) <= MODEL_ID_CHARS_MAX else None
    if provider is None:
        return NotFound()
    key = model_id[len(provider.name) + 1 :]
    model = provider.models.get(key)
    if model is not None:
        return Found(provider, model)
    if provider.unlisted is None or not _UNLISTED_KEY.match(key) or not _DOTS.isdisjoint(key.split("/")):
        return NotFound(provider)
    return Found(
        provider, Model(model_id, key, Tariff(provider.unlisted), is_listed=False, takes=taken(OPENAI, provider.parameters))
    )


def find(config: Config, model_id: str) -> Found | NotFound:
    """The model of an id such as `openai/gpt-4o-mini`. Aliases are not models; see `Config.aliases`."""
    return _find(config.providers, model_id)
