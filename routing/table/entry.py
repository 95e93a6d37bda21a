"""An entry of the routing table: one provider with its models and prices, read from its TOML table.

Rule: the defaults stand in `routing.table.provider`; a field that is absent here takes them.
Rule: a provider without any price cannot be called, and a model that another provider's longer name hides cannot either: both are
problems, not surprises.
"""

import re
from typing import Any, Final

from msgspec.structs import replace

from routing.request.parameters import ALWAYS, NEVER_TAKEN, OPENAI, taken
from routing.routes.parser import read_data_terms
from routing.table import field
from routing.table.endpoint import CHAT, CHAT_ONLY, ECHO_ENDPOINTS, ECHO_FORMATS, FORMATS, BaseUrl, Endpoint
from routing.table.endpoint import endpoint as known_endpoint
from routing.table.field import TomlTable
from routing.table.limit_terms import read_rate_limits
from routing.table.price_list import has_price, read_rates, read_tariff
from routing.table.problem import Wrong, dotted, nearest, odd_character
from routing.table.provider import ECHO, TRAITS, Model, Provider
from routing.table.reference import key_ref
from routing.table.tariff import Tariff
from routing.wire.headers import OWN_HEADERS
from usage.record import Rates

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*+\Z")
_MODEL_NAME: Final = re.compile(r"[!-~]{1,200}\Z")
_PARAMETER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")
_NOWHERE: Final = BaseUrl("http", "localhost", 80)
_DURATIONS: Final = (
    "connect_timeout_s",
    "first_byte_timeout_s",
    "idle_timeout_s",
    "total_timeout_s",
    "keepalive_s",
    "drain_timeout_s",
)
_TABLES: Final = frozenset(("models", "endpoints", "unlisted", "rate_limits", "data", "extra_headers"))
_MODALITIES: Final = ("text", "image", "audio", "video", "file")
_MAX_TOKENS_FIELD: Final = ("max_tokens", "max_completion_tokens", "as_sent")
_FACTS: Final[tuple[tuple[str, Any, Any], ...]] = (
    ("context_tokens", field.whole(), None),
    ("max_output_tokens", field.whole(), None),
    ("image_tokens_max", field.whole(), None),
    ("searches_max", field.whole(), 5),
    ("free", field.flag, False),
    ("display_name", field.text, ""),
    ("input_modalities", field.items(field.one_of(*_MODALITIES)), ("text",)),
    ("output_modalities", field.items(field.one_of(*_MODALITIES)), ("text",)),
    ("max_tokens_field", field.one_of(*_MAX_TOKENS_FIELD), None),
    ("serves", field.items(field.one_of(*FORMATS)), ()),
)
"""What a model may say of itself besides its prices: field, check, default."""


NO_PRICE: Final = "has no model and no price"
NAME_HINT: Final = "up to 200 printable ASCII characters without space"


def odd_in(name: str) -> str:
    """What cannot be told from its looks in a name, to be said behind a hint."""
    odd = odd_character(name)
    return f"; there is {odd} in it" if odd else ""


def _traits(value: Any) -> frozenset[str]:
    return frozenset(field.items(field.one_of(*TRAITS))(value)) if value != [] else frozenset()


def read_model(table: TomlTable, provider_name: str, key: str, version: str, parameters: tuple[str, ...] = ()) -> Model:
    if not _MODEL_NAME.match(key):
        table.blame(Wrong("is no usable model name", NAME_HINT + odd_in(key)))
    if table.is_cut() and not table.values.keys() & {"tiers"} and not any(name.startswith("above_") for name in table.values):
        table.blame_cut()
        return Model(id=f"{provider_name}/{key}", name=key, tariff=Tariff(Rates()))
    own = {name: table.take(name, check, default) for name, check, default in _FACTS}
    own["is_free"] = own.pop("free")
    model = Model(
        id=f"{provider_name}/{key}",
        name=table.take("upstream", field.text, key),
        tariff=read_tariff(table, version),
        created_s=table.take("created", field.instant_s, 0),
        has_search_price=table.has("search"),
        takes=taken(taken(OPENAI, parameters), _parameters(table)),
        traits=table.take("traits", _traits, None),
        **own,
    )
    _blame_priced(table, model.rates)
    table.close()
    return model


def _blame_priced(table: TomlTable, rates: Rates) -> None:
    if table.values.get("free") is True and has_price(rates):
        table.blame(Wrong("is true beside a price", "keep one of the two: what is free has prices of 0"), "free")


def read_provider(table: TomlTable, name: str, version: str) -> Provider:
    """One provider. Where something is wrong, the default stands in for it, so that the rest can be checked too."""
    if not _NAME.match(name) or len(name) > 64:
        hint = "up to 64 letters, digits, '.', '_' and '-', in parts separated by '/'"
        table.blame(Wrong("is no usable provider name", hint + odd_in(name)))
    if table.is_cut() and not table.values.keys() & _TABLES:
        table.blame_cut()
        return Provider(name, _NOWHERE)
    dialect: Any = table.take("dialect", field.one_of("openai", ECHO), ECHO if name == ECHO else "openai")
    is_echo = dialect == ECHO
    auth_header = table.take("auth_header", field.auth_header, "authorization: Bearer")
    parameters = _parameters(table)
    models = {key: read_model(inner, name, key, version, parameters) for key, inner in table.table("models").tables()}
    if is_echo:
        models = {key: model if model.serves else replace(model, serves=ECHO_FORMATS) for key, model in models.items()}
    provider = Provider(
        name=name,
        base_url=_base_url(table, is_echo),
        key_refs=_key_refs(table, name, is_echo),
        dialect=dialect,
        auth_header=auth_header,
        extra_headers=_extra_headers(table, auth_header),
        parameters=parameters,
        models=models,
        **_unlisted(table, version),
        rate_limits=read_rate_limits(table.table("rate_limits")),
        endpoints=read_endpoints(table, models, is_echo=is_echo),
        data=read_data_terms(table.table("data")),
        **_wire(table),
        **_quirks(table),
    )
    table.close()
    if not provider.models and not table.has("models") and provider.unlisted is None and table.is_table:
        hint = f'add [{dotted(table.path)}.models."..."] or unlisted = {{ input = "...", output = "..." }}'
        table.blame(Wrong(NO_PRICE, hint))
    if (provider.http2 or provider.proxy) and provider.transport != "httpx":
        table.blame(Wrong("cannot do HTTP/2 or go through a proxy", 'write transport = "httpx"'), "transport")
    return provider


def read_endpoints(table: TomlTable, models: dict[str, Model], *, is_echo: bool = False) -> tuple[Endpoint, ...]:
    """`serves = ["chat", "messages"]`, and under `endpoints.NAME` what is not as the format's inventor has it."""
    serves = table.take("serves", field.items(field.one_of(*FORMATS)), ())
    tables = dict(table.table("endpoints").tables())
    for name in tables.keys() - FORMATS.keys():
        guess = nearest(name, FORMATS)
        hint = f"did you mean {guess}?" if guess else f"there are {', '.join(FORMATS)}"
        table.blame(Wrong("is no format", hint), "endpoints", name)
    names = dict.fromkeys((*serves, *(name for name in tables if name in FORMATS)))
    if is_echo and not names:
        return ECHO_ENDPOINTS
    found = tuple(_endpoint(table, name, tables.get(name)) for name in names)
    if not found or found == CHAT_ONLY:
        found = CHAT_ONLY
    for key, model in models.items():
        for name in model.serves:
            if all(each.format != name for each in found):
                table.blame(
                    Wrong(f'names "{name}", which its provider does not serve', f'add it to "serves" in [{dotted(table.path)}]'),
                    *("models", key, "serves"),
                )
    return found


def _endpoint(table: TomlTable, name: str, inner: TomlTable | None) -> Endpoint:
    usual = CHAT if name == "chat" else known_endpoint(name)
    auth_header = "" if table.has("auth_header") else usual.auth_header
    if inner is None:
        return usual if auth_header == usual.auth_header else replace(usual, auth_header=auth_header)
    path = inner.take("path", field.endpoint_path, usual.path)
    own_header = inner.take("auth_header", field.auth_header, auth_header)
    endpoint = Endpoint(
        format=name,
        path=path,
        stream_path=inner.take("stream_path", field.endpoint_path, "" if inner.has("path") else usual.stream_path),
        base_url=inner.take("base_url", field.base_url, None),
        auth_header=own_header,
        headers=_extra_headers(inner, own_header) if inner.has("extra_headers") else usual.headers,
        betas=inner.take("betas", field.items(field.text), ()),
        framing=inner.take("framing", field.one_of("sse", "eventstream"), usual.framing),
        fetches_urls=inner.take("fetches_urls", field.flag, True),
        body=_body_members(inner),
    )
    inner.close()
    return endpoint


def _body_members(table: TomlTable) -> tuple[tuple[str, str], ...]:
    """`body = { anthropic_version = "vertex-2023-10-16" }`: members that each request needs."""
    inner = table.table("body")
    pairs = []
    for name, value in inner.values.items():
        try:
            pairs.append((name, field.text(value)))
        except Wrong as wrong:
            inner.blame(wrong, name)
    return tuple(pairs)


def _parameters(table: TomlTable) -> tuple[str, ...]:
    """`["top_k", "-logit_bias"]`: what is taken beyond OpenAI's parameters, and what of those is not."""
    names = table.take("parameters", field.items(field.text), ())
    for name in names:
        plain = name.removeprefix("-")
        if not _PARAMETER.match(plain):
            table.blame(Wrong(f'has "{name}", which is no name of a parameter', "letters, digits and '_'"), "parameters")
        elif not name.startswith("-") and plain in NEVER_TAKEN:
            table.blame(
                Wrong(f'has "{name}", which would choose another model or cap than was decided on', "leave it out"), "parameters"
            )
        elif name.startswith("-") and plain in ALWAYS:
            table.blame(Wrong(f'has "{name}", without which nothing can be asked', "leave it out"), "parameters")
    return names


def _base_url(table: TomlTable, is_echo: bool) -> BaseUrl:
    if is_echo:
        return table.take("base_url", field.base_url, _NOWHERE)
    return table.need("base_url", field.base_url, _NOWHERE, 'such as "https://api.openai.com/v1"')


def _key_refs(table: TomlTable, name: str, is_echo: bool) -> tuple[str, ...]:
    pool = table.take("api_keys", field.items(key_ref), ())
    one = table.take("api_key", _key_or_none, ())
    if table.has("api_keys") and table.has("api_key"):
        table.blame(Wrong("stands beside api_key", "keep one of the two: api_key for one key, api_keys for a pool"), "api_keys")
    elif len(set(pool)) < len(pool):
        table.blame(Wrong("names the same key twice", "name each once"), "api_keys")
    elif table.is_table and not is_echo and not table.has("api_keys") and not table.has("api_key"):
        variable = re.sub(r"[^A-Z0-9]+", "_", name.upper()) + "_API_KEY"
        table.blame(Wrong("is missing", f'write "env:{variable}", or "none" if it needs no key'), "api_key")
    return pool or one


def _key_or_none(value: Any) -> tuple[str, ...]:
    return () if value == "none" else (key_ref(value),)


def _unlisted(table: TomlTable, version: str) -> dict[str, Any]:
    inner = table.table("unlisted")
    if not table.has("unlisted"):
        return {}
    rates = read_rates(inner, version)
    is_free = inner.take("free", field.flag, False)
    _blame_priced(inner, rates)
    inner.close()
    return {"unlisted": rates, "is_unlisted_free": is_free}


def _wire(table: TomlTable) -> dict[str, Any]:
    """How it is reached: transport, TLS, clocks."""
    auth = table.take("auth", field.one_of("key", "sigv4", "google", "entra"), "key")
    if auth == "sigv4" and not table.has("region"):
        table.blame(Wrong("needs a region", 'write region = "us-east-1"'), "auth")
    taken: dict[str, Any] = {
        "auth": auth,
        "auth_scope": table.take("auth_scope", field.text, ""),
        "region": table.take("region", field.text, ""),
        "service": table.take("service", field.text, "bedrock"),
        "transport": table.take("transport", field.one_of("native", "httpx"), "native"),
        "http2": table.take("http2", field.flag, False),
        "proxy": table.take("proxy", field.proxy_url, None),
        "ca_file": table.take("ca_file", field.text, None),
        "verify": table.take("verify", field.flag, True),
        "attempts_max": table.take("attempts_max", field.whole(), 3),
        "on_disconnect": table.take("on_disconnect", field.one_of("cancel", "drain"), "cancel"),
    }
    defaults = Provider(name="", base_url=_NOWHERE)
    for name in _DURATIONS:
        taken[name] = table.take(name, field.seconds, getattr(defaults, name))
    return taken


def _quirks(table: TomlTable) -> dict[str, Any]:
    arithmetic = field.one_of("auto", "reasoning_included", "reasoning_excluded")
    return {
        "stream_options": table.take("stream_options", field.flag, True),
        "max_tokens_field": table.take("max_tokens_field", field.one_of(*_MAX_TOKENS_FIELD), "as_sent"),
        "trusts_served_tier": table.take("trusts_served_tier", field.flag, True),
        "allow_state": table.take("allow_state", field.flag, False),
        "usage_arithmetic": table.take("usage_arithmetic", arithmetic, "auto"),
    }


def _extra_headers(table: TomlTable, auth_header: str) -> tuple[tuple[str, str], ...]:
    """Headers that go with every request to it; those that we write ourselves are refused."""
    inner = table.table("extra_headers")
    pairs = []
    for written, value in inner.values.items():
        try:
            name = field.header_name(written)
            if name.encode() in OWN_HEADERS or name == auth_header.partition(":")[0]:
                raise Wrong("is written by the proxy itself", "leave it out")
            pairs.append((name, field.header_value(value)))
        except Wrong as wrong:
            inner.blame(wrong, written)
    return tuple(pairs)
