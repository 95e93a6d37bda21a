"""What is legal in a routing table and most likely a mistake: each with its place, what is wrong, what would be right.

Rule: a table with advice can be served; `tollway check` says it all, and its exit status tells it from a table without. What
costs money or gives a secret away is `danger`; the rest is `doubt`.
Limits: it judges the parsed table; whether a secret or a host exists is for those who can look (`edge.commands.check`).
"""

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from routing.request.parameters import KNOWN
from routing.routes.route import GROUPS
from routing.table.config import Config
from routing.table.endpoint import FORMATS, endpoint
from routing.table.positions import line_of, lines
from routing.table.problem import Path, dotted
from routing.table.provider import ECHO, Model, Provider
from routing.views.price_advice import Found, Level, of_free, of_rates, of_tariff
from routing.views.route_advice import group_meant, of_routes
from usage.limit import NAMES, NO_LIMITS, LimitTerms

SECONDS_MAX: Final = {
    "connect_timeout_s": 120,
    "keepalive_s": 3_600,
    "drain_timeout_s": 3_600,
    "first_token_timeout_s": 600,
    "loop_lag_max_s": 10,
    "finish_timeout_s": 120,
    "body_timeout_s": 600,
    "reader_timeout_s": 3_600,
    "total_timeout_s": 21_600,
}
"""Nobody waits longer for these: what is more was most likely written in milliseconds."""
BREAKER_SECONDS_MAX: Final = {"cool_down_s": 600, "cool_down_s_max": 7_200, "window_s": 3_600}
BYTES_MIN: Final = 1_024
"""A bound on bytes below this was most likely written in megabytes."""
ATTEMPTS_MAX: Final = 20
CONTEXT_TOKENS: Final = (1_000, 100_000_000)
"""A window of less was most likely written in thousands; of more, with digits too many."""
_SECRET_HEADER: Final = re.compile(r"authorization|api-?key|token|secret|cookie|password|signature", re.IGNORECASE)
_SECRET_VALUE: Final = re.compile(r"(sk|pk|rk|gsk|xai|key|ghp|hf|AIza|Bearer)[-_ ]?[A-Za-z0-9_\-]{16,}")
_SCHEMES: Final = frozenset(("bearer", "basic", "token", "apikey", "digest"))
_PLACEHOLDER: Final = re.compile(r"(?:^|[.-])(?:your|changeme|placeholder|todo|x{3,})(?:[.-]|$)|resource-name")
_REGION: Final = re.compile(r"[a-z]{2,}[0-9]*(?:-[a-z0-9]+)*+\Z")
_AWS_REGION: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]+){1,3}-[1-9]\Z")
_WRITERS: Final = frozenset(("chat", "messages", "responses", "gemini", "converse", "cohere", "completions"))
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


def advise(config: Config, text: str) -> list[Advice]:
    """Everything that is doubtful in the table that `text` says, by its lines."""
    known = lines(text)
    written = {path[1] for path in known if len(path) == 2 and path[0] == "providers"}
    found: list[Found] = []
    for provider in config.providers.values():
        if provider.name in written:
            found += _of_provider(provider)
    found += [*_of_policies(config), *of_routes(config, text), *_of_bounds(config), *_of_shared_keys(config)]
    used = {route.policy.name for route in config.routes.values()} | {config.policy.name}
    for path in known:
        if len(path) == 2 and path[0] == "policies" and path[1] not in used:
            hint = f'write policy = "{path[1]}" into a route, or into [defaults]'
            found.append(("doubt", path, "is the policy of no route", hint))
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
    yield from _of_secrets(provider, at)
    yield from _of_address(provider, at)
    yield from _of_data(provider, at)
    yield from _of_limits(provider.rate_limits, (*at, "rate_limits"))
    yield from _of_seconds(provider, at)
    for name in ("first_byte_timeout_s", "idle_timeout_s"):
        if getattr(provider, name) > provider.total_timeout_s:
            hint = f"lower it, or raise total_timeout_s, {provider.total_timeout_s:g}"
            yield "doubt", (*at, name), "is longer than the whole answer may take, so it never strikes", hint
    for name in provider.parameters:
        plain = name.removeprefix("-")
        if plain not in KNOWN and (meant := get_close_matches(plain, KNOWN, 1, 0.92)):
            yield "doubt", (*at, "parameters"), f"has {plain!r}, which no caller sends", f"did you mean {meant[0]!r}?"
    if provider.unlisted is not None:
        yield from of_rates(provider.unlisted, (*at, "unlisted"))
        if _is_billed(provider) and not provider.is_unlisted_free:
            yield from of_free(provider.unlisted, (*at, "unlisted"), writes=True)
    for name, model in provider.models.items():
        yield from _of_model(provider, model, (*at, "models", name))
    yield from _of_doubles(provider, at)


def _of_model(provider: Provider, model: Model, at: Path) -> Iterator[Found]:
    context, output = model.context_tokens, model.max_output_tokens
    if context and output and output > context and "text" in model.output_modalities:
        hint = "an answer has to fit into the context; one of the two has a digit too many or too few"
        yield "danger", (*at, "max_output_tokens"), f"is {output}, beyond the context of {context} tokens", hint
    if context and not CONTEXT_TOKENS[0] <= context <= CONTEXT_TOKENS[1] and _writes(provider, model):
        hint = f"if it was written in thousands, write {context * 1_000}" if context < CONTEXT_TOKENS[0] else "count the digits"
        yield "doubt", (*at, "context_tokens"), f"is a window of {context} tokens, as no model of today has", hint
    writes = _writes(provider, model)
    yield from of_tariff(model.tariff, at, context, writes=writes)
    is_free = model.is_free or model.name.endswith(":free") or model.serves == ("moderations",)
    if _is_billed(provider) and not is_free:
        yield from of_free(model.tariff.rates, at, writes=writes)


def _is_billed(provider: Provider) -> bool:
    """Whether what it serves goes to somebody's account."""
    return bool(provider.key_refs) and not is_private(provider.base_url.host)


def _of_secrets(provider: Provider, at: Path) -> Iterator[Found]:
    """What looks like one, and stands where many may read it."""
    places = [(provider.extra_headers, (*at, "extra_headers"))]
    places += [(each.headers, (*at, "endpoints", each.format, "extra_headers")) for each in provider.endpoints]
    for headers, place in places:
        for name, value in headers:
            if _SECRET_HEADER.search(name) or _SECRET_VALUE.search(value):
                hint = 'api_key = "env:NAME" with auth_header keeps it out of this file'
                yield "danger", place, f"the header {name} looks like a secret, and many may read this file", hint
    written = [(provider.auth_header, (*at, "auth_header")), (provider.base_url.path, (*at, "base_url"))]
    for each in provider.endpoints:
        place = (*at, "endpoints", each.format)
        written += [(getattr(each, name), (*place, name)) for name in ("auth_header", "path", "stream_path")]
    for value, place in written:
        if _SECRET_VALUE.search(value):
            hint = 'api_key = "env:NAME" leads to the key; auth_header says in which header it is sent'
            yield "danger", place, "has a key in it, as it looks, and many may read this file", hint
    if provider.proxy and "@" in provider.proxy:
        hint = "let the proxy know this machine by its address, or let a local one add the password"
        yield "danger", (*at, "proxy"), "has a user or a password in it, and many may read this file", hint


def _of_data(provider: Provider, at: Path) -> Iterator[Found]:
    for number, region in enumerate(provider.data.regions):
        place = (*at, "data", "regions", number)
        if group := group_meant(region):
            yield "doubt", place, f"is {region!r}, which is no region", f'did you mean "{group}"?'
        elif not _REGION.match(region):
            hint = f'one of {", ".join(GROUPS)}, or a region as machines name it, such as "fra" or "eu-central-1"'
            yield "doubt", place, f"is {region!r}, which is no region", hint


def _of_limits(terms: LimitTerms, at: Path) -> Iterator[Found]:
    if terms != NO_LIMITS and terms.is_empty:
        yield "doubt", at, "limits nothing", f"give it one of {', '.join(NAMES.values())}"
    requests, tokens = terms.requests_per_minute, terms.tokens_per_minute
    if requests is not None and tokens is not None and tokens < requests:
        message = f"is {tokens} a minute, beside {requests} requests, of which each has some"
        yield "doubt", (*at, "tokens_per_minute"), message, "look whether the two are exchanged, or this one is in thousands"


def _writes(provider: Provider, model: Model) -> bool:
    """Whether it answers in text."""
    formats = model.serves or tuple(each.format for each in provider.endpoints)
    return model.output_modalities == ("text",) and not _WRITERS.isdisjoint(formats)


def _of_address(provider: Provider, at: Path) -> Iterator[Found]:
    if _PLACEHOLDER.search(provider.base_url.host):
        yield "doubt", (*at, "base_url"), f"leads to {provider.base_url.host}", "put the name of your own resource there"
    for format in FORMATS:
        path = endpoint(format).path
        if "{" not in path and provider.base_url.path.endswith(path):
            base = provider.base_url
            hint = f'that is added by itself: write "{base.scheme}://{base.host}{base.path.removesuffix(path)}"'
            yield "doubt", (*at, "base_url"), f"ends with {path}", hint
    if provider.auth_header in _SCHEMES:
        hint = f'write "authorization: {provider.auth_header.title()}"'
        yield "danger", (*at, "auth_header"), f"sends the key in a header that is called {provider.auth_header!r}", hint
    if provider.auth == "sigv4" and not _AWS_REGION.match(provider.region):
        yield "doubt", (*at, "region"), f"is {provider.region!r}, which is no region of AWS", 'such as "us-east-1"'


def _of_seconds(values: Any, at: Path, bounds: Mapping[str, int] = SECONDS_MAX) -> Iterator[Found]:
    for name, seconds_max in bounds.items():
        seconds = getattr(values, name, None) or 0
        if seconds > seconds_max:
            hint = f"if it was written in milliseconds, write {seconds / 1_000:g}"
            yield "doubt", (*at, name), f"is {seconds:g} seconds", hint
    attempts = getattr(values, "attempts_max", None) or 0
    if attempts > ATTEMPTS_MAX:
        hint = "a caller waits for all of them; 3 is usual"
        yield "doubt", (*at, "attempts_max"), f"lets one request be tried {attempts} times", hint


def _of_policies(config: Config) -> Iterator[Found]:
    policies = {route.policy.name: route.policy for route in config.routes.values()} | {config.policy.name: config.policy}
    for name, policy in policies.items():
        yield from _of_seconds(policy, ("policies", name))
        yield from _of_seconds(policy.breaker, ("policies", name, "breaker"), BREAKER_SECONDS_MAX)


def _of_shared_keys(config: Config) -> Iterator[Found]:
    """One key for the hosts of two houses: most likely a copied line, and then a key goes to whom it does not belong."""
    owners: dict[str, Provider] = {}
    for provider in config.providers.values():
        for ref in provider.key_refs if not is_private(provider.base_url.host) else ():
            other = owners.setdefault(ref, provider)
            if _house(other.base_url.host) != _house(provider.base_url.host):
                message = f"sends {ref} to {provider.base_url.host}, and {other.name} to {other.base_url.host}"
                hint = "give each its own key; where both are one house, another name for the key says that it is meant"
                yield "danger", ("providers", provider.name, "api_key"), message, hint


def _house(host: str) -> str:
    return ".".join(host.split(".")[-2:])


def _of_bounds(config: Config) -> Iterator[Found]:
    yield from _of_seconds(config.limits, ("limits",))
    for name in config.limits.__struct_fields__:
        size = getattr(config.limits, name)
        if name.endswith("_bytes_max") and size < BYTES_MIN:
            hint = f"if it was written in megabytes, write {size * 1_048_576}"
            yield "doubt", ("limits", name), f"is {size} bytes, which no request keeps to", hint
    for name in ("key", "account"):
        yield from _of_limits(getattr(config.rate_limits, name), ("rate_limits", name))


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
