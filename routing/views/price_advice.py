"""What is legal in a price and most likely another unit, an exchange or a slip: part of `routing.views.advice`.

Rule: what would charge a customer too much, or the house's own money away, by a factor that no discount explains is `danger`.
Source of the bounds: genai-prices of November 2026, and the providers' pages for what is priced by the piece.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final, Literal

from routing.table.price_list import has_price
from routing.table.problem import Path
from routing.table.tariff import Tariff
from usage.pricing import PICO_PER_DOLLAR, TOKENS_PER_PRICE
from usage.record import Rates

Level = Literal["danger", "doubt"]
Found = tuple[Level, Path, str, str]

DEAREST_PER_MILLION: Final = 2_000
CHEAPEST_PER_MILLION: Final = 0.000_5
"""Dollars. Beyond these a price was most likely written in another unit: the dearest known is 600, the cheapest 0.0025."""
CHEAPEST_KNOWN: Final = {"input": 0.003, "output": 0.01}
"""Dollars per million tokens, of all models: less is most likely a price per thousand."""
DEAREST_KNOWN: Final = {"input": 160.0, "output": 640.0}
"""Likewise: more is most likely in cents."""
DEAREST_PIECE: Final = {
    "request": (2.0, "request", 1_000, "thousand"),
    "search": (1.0, "web search", 1_000, "thousand"),
    "second": (1.0, "second of sound", 60, "minute"),
    "character": (0.001, "character", 1_000_000, "million"),
    "image": (10.0, "image", 1_000, "thousand"),
}
"""Dollars for one, what one is, and what its price is most likely that of instead. The dearest known are 0.035 for a search,
0.0003 for a character, 0.5 for a second (of video), 0.5 for an image."""
THRESHOLD_MAX: Final = 20_000_000
CHEAPER_TIERS: Final = ("flex", "batch")
DEARER_TIERS: Final = ("priority", "fast", "performance")
KNOWN_TIERS: Final = (*CHEAPER_TIERS, *DEARER_TIERS, "scale", "turbo")


def of_tariff(tariff: Tariff, at: Path, context: int | None = None, *, writes: bool = False) -> Iterator[Found]:
    yield from of_rates(tariff.rates, at)
    if writes and tariff.rates.output < tariff.rates.input:
        message = "is cheaper than input, as hardly any model that writes is"
        yield "doubt", (*at, "output"), message, "look whether the two are exchanged"
    for step in tariff.above:
        if step.rates.input < tariff.rates.input or step.rates.output < tariff.rates.output:
            message = f"is cheaper above {step.tokens} prompt tokens than below"
            yield "doubt", at, message, "long prompts usually cost more; look whether the two are exchanged"
        if step.tokens >= (context or THRESHOLD_MAX):
            message = f"has other prices above {step.tokens} prompt tokens, which no prompt of it reaches"
            hint = f"above_272k is 272,000; {f'its window is {context}' if context else 'count the digits'}"
            yield "doubt", at, message, hint
    for name, tier in tariff.tiers.items():
        yield from of_tariff(tier, (*at, "tiers", name))
        yield from _of_tier(name, tier.rates, tariff.rates, (*at, "tiers", name))


def _of_tier(name: str, rates: Rates, plain: Rates, at: Path) -> Iterator[Found]:
    if name in CHEAPER_TIERS and (rates.input > plain.input or rates.output > plain.output):
        yield (
            "doubt",
            at,
            "is dearer than the plain price, for which nobody would wait",
            "look whether it is that of another tier",
        )
    if name in DEARER_TIERS and (rates.input < plain.input or rates.output < plain.output):
        yield "doubt", at, "is cheaper than the plain price, and goes before it", "look whether it is that of another tier"
    if name not in KNOWN_TIERS and (meant := get_close_matches(name, KNOWN_TIERS, 1, 0.75)):
        yield "doubt", at, "is a tier that no request will name", f"did you mean {meant[0]}?"


def of_free(rates: Rates, at: Path, *, writes: bool) -> Iterator[Found]:
    """Of a provider that wants a key: somebody is billed for what it serves."""
    if not has_price(rates):
        hint = "write its price; if it is free, write free = true beside it"
        yield "danger", at, "costs nothing here, and its provider has a key to bill it to", hint
    elif writes and not rates.input and rates.output:
        yield "doubt", (*at, "input"), "is free, while output costs", "hardly any model that writes is sold so; write its price"


def of_rates(rates: Rates, at: Path) -> Iterator[Found]:
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
        elif per_million > DEAREST_KNOWN.get(field, DEAREST_PER_MILLION):
            hint = f"if it is in cents, write {per_million / 100:g}; `tollway prices update` shows the public list"
            yield "doubt", (*at, field), f"is {per_million:g} dollars per million tokens, more than any known price", hint
        if per_million < CHEAPEST_PER_MILLION:
            hint = "prices are dollars per million tokens, not per token or per thousand"
            yield "danger", (*at, field), f"is {per_million:.6f} dollars per million tokens, far below any price known", hint
        elif per_million < CHEAPEST_KNOWN.get(field, 0.0):
            hint = f"if it is a price per thousand, write {per_million * 1000:g}; `tollway prices update` shows the public list"
            yield "doubt", (*at, field), f"is {per_million:g} dollars per million tokens, less than any known price", hint
    for name, (most, what, number, word) in DEAREST_PIECE.items():
        per_one = getattr(rates, name) / PICO_PER_DOLLAR
        if per_one > most:
            hint = f"if it is the price of a {word}, write {f'{per_one / number:.9f}'.rstrip('0').rstrip('.')}"
            yield "danger", (*at, name), f"is {per_one:,.2f} dollars for one {what}", hint
