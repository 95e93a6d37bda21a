"""The prices of an entry of the routing table, read from its TOML table: plain, above a size of the prompt, by service tier.

Rule: what a step or a tier does not name (cached input, say) is in proportion to what it names; a tier without steps of its own
has the plain ones' in proportion too, so that a long prompt is never priced as a short one.
"""

import re
from typing import Any, Final

from routing.table import field
from routing.table.field import TomlTable
from routing.table.problem import Wrong
from routing.table.tariff import PLAIN_TIERS, Above, Tariff, scaled
from usage.record import Rates

_PRICE_HINT: Final = 'dollars per million tokens, such as "0.15"; "0" if it is free'
_PRICES: Final = (
    ("cached_input", "cached"),
    ("cache_write", "cache_write"),
    ("cache_write_1h", "cache_write_1h"),
    ("cache_write_12h", "cache_write_12h"),
    ("audio_input", "audio_prompt"),
    ("image_input", "image_prompt"),
    ("reasoning", "reasoning"),
    ("audio_output", "audio_completion"),
    ("image_output", "image_completion"),
)
"""Field of the table → field of Rates, for the prices that default to those of plain input or output."""
PIECES: Final = ("search", "second", "character", "image")
"""What is priced by the piece, in dollars."""
_FREE: Final = Rates()
_OF_OUTPUT: Final = ("reasoning", "audio_completion", "image_completion")
_ABOVE: Final = re.compile(r"above_([1-9][0-9]{0,8})(k?)\Z")


def has_price(rates: Rates) -> bool:
    """Whether anything of it costs anything."""
    return any(getattr(rates, name) for name in ("input", "output", "request", *PIECES))


def read_rates(table: TomlTable, version: str, plain: Rates | None = None) -> Rates:
    """The prices among a table's fields; the table stays open for its other fields. What is absent follows from `plain`."""
    if plain is None:
        both = {name: table.need(name, field.token_price, 0, _PRICE_HINT) for name in ("input", "output")}
    else:
        both = {name: table.take(name, field.token_price, getattr(plain, name)) for name in ("input", "output")}
    special: dict[str, Any] = {}
    for name, rate in _PRICES:
        default = None if plain is None else _in_proportion(plain, rate, both)
        special[rate] = table.take(name, field.token_price, default)
    return Rates(
        request=table.take("request", field.request_price, 0 if plain is None else plain.request),
        version=version,
        **{name: table.take(name, field.request_price, getattr(plain or _FREE, name)) for name in PIECES},
        **both,
        **special,
    )


def _in_proportion(plain: Rates, rate: str, both: dict[str, int]) -> int | None:
    """A price as much dearer or cheaper than the plain one as input or output is, rounded up."""
    price: int | None = getattr(plain, rate)
    whole = "output" if rate in _OF_OUTPUT else "input"
    before: int = getattr(plain, whole)
    return price if price is None or not before else -(-price * both[whole] // before)


def read_tariff(table: TomlTable, version: str) -> Tariff:
    """All prices of a model; the table stays open for its other fields."""
    rates = read_rates(table, version)
    above = _read_above(table, rates, version)
    tiers: dict[str, Tariff] = {}
    inner = table.table("tiers")
    for name, tier in inner.tables():
        if name in PLAIN_TIERS or not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name):
            tier.blame(Wrong("is no usable name of a tier", 'as the provider calls it, such as "flex" or "priority"'))
        own = read_rates(tier, version, rates)
        steps = _read_above(tier, own, version)
        tier.close()
        tiers[name] = Tariff(own, steps or tuple(Above(step.tokens, scaled(step.rates, rates, own)) for step in above))
    return Tariff(rates, above, tiers)


def _read_above(table: TomlTable, rates: Rates, version: str) -> tuple[Above, ...]:
    """`above_272k = { input = "4", … }`, with the highest threshold first."""
    steps: list[Above] = []
    for name in table.values:
        found = _ABOVE.match(name)
        if found is None:
            if name.startswith("above"):
                table.known.append(name)
                table.blame(Wrong("names no number of prompt tokens", "such as above_272k or above_200000"), name)
            continue
        inner = table.table(name)
        tokens = int(found[1]) * (1_000 if found[2] else 1)
        if any(step.tokens == tokens for step in steps):
            table.blame(Wrong(f"is the threshold of {tokens} prompt tokens once more", "keep one of the two"), name)
        steps.append(Above(tokens, read_rates(inner, version, rates)))
        inner.close()
    return tuple(sorted(steps, key=_tokens_of, reverse=True))


def _tokens_of(step: Any) -> int:
    tokens: int = step.tokens
    return tokens
