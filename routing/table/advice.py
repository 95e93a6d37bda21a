"""What is legal in a routing table and most likely a mistake: each with its place, what is wrong, what would be right.

Rule: a table with advice can be served; `tollway check` says it all, and its exit status tells it from a table without. What
costs money or gives a secret away is `danger`; the rest is `doubt`.
Limits: it judges the parsed table; whether a secret or a host exists is for those who can look (`edge.commands.check`).
"""

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from routing.table.config import Config
from routing.table.positions import line_of, lines
from routing.table.problem import Path, dotted
from routing.table.provider import ECHO, Model, Provider
from routing.table.tariff import Tariff
from usage.pricing import PICO_PER_DOLLAR, TOKENS_PER_PRICE
from usage.record import Rates

Level = Literal["danger", "doubt"]
DEAREST_PER_MILLION: Final = 2_000
CHEAPEST_PER_MILLION: Final = 0.000_5
"""Dollars. Beyond these a price was most likely written in another unit: the dearest known is 600, the cheapest 0.0025."""
CHEAPEST_KNOWN: Final = {"input": 0.003, "output": 0.01}
"""Dollars per million tokens, of all models in genai-prices of November 2026: less is most likely a price per thousand."""
DEAREST_REQUEST: Final = 10
"""Dollars per request or search."""
_SECRET_HEADER: Final = re.compile(r"authorization|api-?key|token|secret|cookie|password|signature", re.IGNORECASE)
_SECRET_VALUE: Final = re.compile(r"(sk|pk|rk|gsk|xai|key|ghp|hf|AIza|Bearer)[-_ ]?[A-Za-z0-9_\-]{16,}")
_PRIVATE_NAMES: Final = (
    "localhost",
    ".localhost",
    ".internal",
    ".local",
    ".lan",
    ".home.arpa",
    ".svc",
    ".cluster.local",
    ".test",
)


class Advice(msgspec.Struct, frozen=True):
    """One thing to look at. `line` counts from 1."""

    level: Level
    path: str
    line: int
    message: str
    hint: str

    def __str__(self) -> str:
        place = f"line {self.line}, {self.path}" if self.path else f"line {self.line}"
        return f"{self.level}: {place}: {self.message}\n    {self.hint}"


Found = tuple[Level, Path, str, str]


def advise(config: Config, text: str) -> list[Advice]:
    """Everything that is doubtful in the table that `text` says, by its lines."""
    known = lines(text)
    written = {path[1] for path in known if len(path) == 2 and path[0] == "providers"}
    found: list[Found] = []
    for provider in config.providers.values():
        if provider.name in written:
            found += _of_provider(provider)
    if not written - {ECHO}:
        hint = "is this the right file? providers.toml of the checkout has entries to begin with"
        found.append(("danger", (), "no provider is in it but the built-in echo", hint))
    made = [Advice(level, dotted(path), line_of(path, known), message, hint) for level, path, message, hint in found]
    return sorted(made, key=lambda advice: (advice.line, advice.path))


def _of_provider(provider: Provider) -> Iterator[Found]:
    at: Path = ("providers", provider.name)
    if provider.base_url.scheme == "http" and provider.key_refs and not is_private(provider.base_url.host):
        hint = 'write "https://…"; or api_key = "none", if it needs no key'
        yield "danger", (*at, "base_url"), f"sends a key to {provider.base_url.host} unencrypted", hint
    if not provider.verify:
        hint = "leave verify out; a private authority goes into ca_file"
        yield "danger", (*at, "verify"), "whoever stands in between can read the key and every prompt", hint
    for name, value in provider.extra_headers:
        if _SECRET_HEADER.search(name) or _SECRET_VALUE.search(value):
            hint = 'api_key = "env:NAME" with auth_header keeps it out of this file'
            yield "danger", (*at, "extra_headers"), f"the header {name} looks like a secret, and many may read this file", hint
    for name in ("first_byte_timeout_s", "idle_timeout_s"):
        if getattr(provider, name) > provider.total_timeout_s:
            hint = f"lower it, or raise total_timeout_s, {provider.total_timeout_s:g}"
            yield "doubt", (*at, name), "is longer than the whole answer may take, so it never strikes", hint
    if provider.unlisted is not None:
        yield from _of_rates(provider.unlisted, (*at, "unlisted"))
    for name, model in provider.models.items():
        yield from _of_model(model, (*at, "models", name))
    yield from _of_doubles(provider, at)


def _of_model(model: Model, at: Path) -> Iterator[Found]:
    context, output = model.context_tokens, model.max_output_tokens
    if context and output and output > context and "text" in model.output_modalities:
        hint = "an answer has to fit into the context; one of the two has a digit too many or too few"
        yield "danger", (*at, "max_output_tokens"), f"is {output}, beyond the context of {context} tokens", hint
    yield from _of_tariff(model.tariff, at)


def _of_tariff(tariff: Tariff, at: Path) -> Iterator[Found]:
    yield from _of_rates(tariff.rates, at)
    for step in tariff.above:
        if step.rates.input < tariff.rates.input or step.rates.output < tariff.rates.output:
            message = f"is cheaper above {step.tokens} prompt tokens than below"
            yield "doubt", at, message, "long prompts usually cost more; look whether the two are exchanged"
    for name, tier in tariff.tiers.items():
        yield from _of_tariff(tier, (*at, "tiers", name))


def _of_rates(rates: Rates, at: Path) -> Iterator[Found]:
    if rates.cached is not None and rates.cached > rates.input:
        hint = "cached_input is what a token costs that the cache holds; look whether it is exchanged with cache_write"
        yield "danger", (*at, "cached_input"), "a cached token is dearer than one that is read anew", hint
    for name, field in (("input", "input"), ("output", "output"), ("cached", "cached_input"), ("cache_write", "cache_write")):
        pico = getattr(rates, name)
        if not pico:
            continue
        per_million = pico * TOKENS_PER_PRICE / PICO_PER_DOLLAR
        if per_million > DEAREST_PER_MILLION:
            yield "danger", (*at, field), f"is {per_million:,.0f} dollars per million tokens", "prices are per million tokens"
        if per_million < CHEAPEST_PER_MILLION:
            hint = "prices are dollars per million tokens, not per token or per thousand"
            yield "danger", (*at, field), f"is {per_million:.6f} dollars per million tokens, far below any price known", hint
        elif per_million < CHEAPEST_KNOWN.get(field, 0.0):
            hint = f"if it is a price per thousand, write {per_million * 1000:g}; `tollway prices update` shows the public list"
            yield "doubt", (*at, field), f"is {per_million:g} dollars per million tokens, less than any known price", hint
    for name, text in (("request", "request"), ("search", "web search")):
        per_one = getattr(rates, name) / PICO_PER_DOLLAR
        if per_one > DEAREST_REQUEST:
            yield "danger", (*at, name), f"is {per_one:,.2f} dollars for one {text}", "it is the price of one, not of a thousand"


def _of_doubles(provider: Provider, at: Path) -> Iterator[Found]:
    """One model of the provider's under two prices."""
    asked: defaultdict[str, list[tuple[str, Model]]] = defaultdict(list)
    for name, model in provider.models.items():
        asked[model.name].append((name, model))
    for upstream, models in asked.items():
        for name, model in models[1:]:
            if model.tariff != models[0][1].tariff:
                message = f"asks for {upstream} at another price than {models[0][0]!r}"
                yield "doubt", (*at, "models", name), message, "the provider bills both alike; give both the same prices"


def is_private(host: str) -> bool:
    """Whether a host is this machine or within a private network, by its address or its name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_NAMES)
    return address.is_private or address.is_loopback or address.is_link_local
