"""A provider and its models, as the routing table describes them.

Rule: secrets are references (`env:NAME`, `file:PATH`) here and everywhere in `routing`; only `edge` sees what they stand for.
Limits: everything is frozen and hashable, so a provider can be a key of a pool or a cache. Durations are seconds.
"""

from typing import Final, Literal

import msgspec

from routing.request.parameters import OPENAI
from routing.routes.route import DataTerms
from routing.table.endpoint import CHAT_ONLY, ECHO_ENDPOINTS, ECHO_FORMATS, FORMATS, BaseUrl, Endpoint
from routing.table.tariff import Tariff
from usage.limit import NO_LIMITS, LimitTerms
from usage.pricing import pico_per_token
from usage.record import Rates

ECHO: Final = "echo"
"""Name and dialect of the built-in provider that answers without a network."""
TRAITS: Final = (
    *("adaptive_thinking", "budget_thinking", "structured", "no_sampling", "mid_system", "web_search"),
    *("thinking_level", "thinking_budget", "always_thinks", "signatures"),
    *("cache_control", "reasoning_details", "is_error", "tool_images", "file_urls", "reasoning_content", "short_ids"),
)
"""What a translator may have to know of a model: of Claude, of Gemini, of a provider that speaks Chat."""


class Model(msgspec.Struct, frozen=True):
    """One model of one provider. `id` is what callers ask for, `name` what the provider is asked for.

    `tariff` are its prices; `rates` the plain ones among them. `image_tokens_max` bounds what one image part can cost in prompt
    tokens, None when the provider does not say. `searches_max` is how often it may search the web for one answer.
    `max_tokens_field` None means "as the provider's".
    """

    id: str
    name: str
    tariff: Tariff
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    image_tokens_max: int | None = None
    display_name: str = ""
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    max_tokens_field: Literal["max_tokens", "max_completion_tokens", "as_sent"] | None = None
    created_s: int = 0
    is_listed: bool = True
    """False for a name the table does not know, called at its provider's `unlisted` price."""
    searches_max: int = 5
    has_search_price: bool = False
    takes: frozenset[str] = OPENAI
    """Names of the request's members that may be sent to it."""
    serves: tuple[str, ...] = ()
    """Formats that it is asked in; empty: each one of its provider's that a model that writes text may be asked in."""
    traits: frozenset[str] | None = None
    """What a translator has to know of it (`routing.translate`); None: it goes by the name."""
    is_free: bool = False
    """Whether the operator says that prices of 0 are meant."""

    @property
    def rates(self) -> Rates:
        return self.tariff.rates


class Provider(msgspec.Struct, frozen=True):
    """One provider. What each field means to the operator, with unit and default, stands at the top of providers.toml."""

    name: str
    base_url: BaseUrl
    key_refs: tuple[str, ...] = ()
    """References to this provider's keys; empty when it needs none."""
    dialect: Literal["openai", "echo"] = "openai"
    transport: Literal["native", "httpx"] = "native"
    http2: bool = False
    proxy: str | None = None
    ca_file: str | None = None
    verify: bool = True
    auth_header: str = "authorization: Bearer"
    """`name` or `name: Scheme`; the secret follows."""
    auth: Literal["key", "sigv4", "google", "entra"] = "key"
    """How a request is let in: a key in a header, a signature over it, or a token that is fetched."""
    auth_scope: str = ""
    """Of a token of Entra's."""
    region: str = ""
    """Of AWS, for a signature."""
    service: str = "bedrock"
    extra_headers: tuple[tuple[str, str], ...] = ()
    connect_timeout_s: float = 5.0
    first_byte_timeout_s: float = 300.0
    idle_timeout_s: float = 300.0
    total_timeout_s: float = 1800.0
    keepalive_s: float = 30.0
    attempts_max: int = 3
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    drain_timeout_s: float = 30.0
    stream_options: bool = True
    """Whether `stream_options` may be sent to it."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens", "as_sent"] = "as_sent"
    usage_arithmetic: Literal["auto", "reasoning_included", "reasoning_excluded"] = "auto"
    """Whether `completion_tokens` holds the reasoning tokens; "auto" goes by what the total has more."""
    trusts_served_tier: bool = True
    """Whether the service tier that its answers name is the one that it bills."""
    allow_state: bool = False
    """Whether callers may use what is kept under our key: only where that key is one tenant's."""
    parameters: tuple[str, ...] = ()
    """Names that it takes beyond OpenAI's, and with a minus in front those of OpenAI's that it does not."""
    rate_limits: LimitTerms = NO_LIMITS
    """What all edges together may ask of it in a minute, or at once."""
    models: dict[str, Model] = {}
    unlisted: Rates | None = None
    is_unlisted_free: bool = False
    """Whether the operator says that unlisted prices of 0 are meant."""
    data: DataTerms = DataTerms()
    """What it does with what it is sent, as far as the operator says."""
    endpoints: tuple[Endpoint, ...] = CHAT_ONLY
    """What it offers, in order of preference."""

    def __hash__(self) -> int:
        return hash(self.name)

    def endpoints_of(self, model: Model) -> tuple[Endpoint, ...]:
        """Those that this model may be asked at."""
        if not model.is_listed or self.endpoints is CHAT_ONLY:
            return self.endpoints
        if model.serves:
            return tuple(each for each in self.endpoints if each.format in model.serves)
        return tuple(each for each in self.endpoints if FORMATS[each.format].is_generated)

    def endpoint_of(self, model: Model, format: str) -> Endpoint | None:
        """Where this model is asked in that format; None where it is not."""
        return next((each for each in self.endpoints_of(model) if each.format == format), None)


def echo(version: str) -> Provider:
    """The built-in provider: no network, no key, and a real price, so that everything can be tried offline."""
    rates = Rates(input=pico_per_token("0.10"), output=pico_per_token("0.40"), version=version)
    model = Model(
        f"{ECHO}/echo-1",
        "echo-1",
        Tariff(rates),
        context_tokens=131_072,
        max_output_tokens=16_384,
        display_name="Echo 1",
        serves=ECHO_FORMATS,
    )
    where = BaseUrl("http", "localhost", 80)
    return Provider(ECHO, where, dialect="echo", models={"echo-1": model}, unlisted=rates, endpoints=ECHO_ENDPOINTS)
