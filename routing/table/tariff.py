"""Which of a model's prices apply: those of the service tier, and of the prompt's size. `price_list` reads them from the table.

Rule: a threshold is a cliff. A prompt of more tokens than it, cached ones included, pays its prices for all the request's tokens.
Rule: the tier that the answer names decides, else the one that was asked for; but a tier that nobody asked for is never charged
beyond what was held. Source: OpenAI's `service_tier`, and the price tiers of genai-prices.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from usage.pricing import cost_nano
from usage.record import Rates, Tokens

PLAIN_TIERS: Final = frozenset({"", "auto", "default", "standard", "standard_only", "on_demand", "global"})
"""Names that mean the plain price, whichever member of the request or the answer they stand in."""
_FIXED: Final = ("request", "version", "search", "second", "character", "image")
_TOKEN_RATES: Final = tuple(name for name in Rates.__struct_fields__ if name not in _FIXED)


class Above(msgspec.Struct, frozen=True):
    """The prices of a request whose prompt has more than `tokens` tokens."""

    tokens: int
    rates: Rates


class Tariff(msgspec.Struct, frozen=True):
    """All prices of a model: the plain ones, those above each threshold (in falling order), and the same for each named tier."""

    rates: Rates
    above: tuple[Above, ...] = ()
    tiers: "dict[str, Tariff]" = {}

    def __hash__(self) -> int:
        return hash(self.rates)

    def resolve(self, prompt_tokens: int, tier: str = "") -> Rates:
        """The prices of a request with so many prompt tokens; a tier without prices of its own has the plain ones."""
        tariff = self.tiers.get(tier, self) if tier else self
        for step in tariff.above:
            if prompt_tokens > step.tokens:
                return step.rates
        return tariff.rates

    def possible(self, prompt_max: int, tier: str = "") -> tuple[Rates, ...]:
        """The prices that a request for `tier` may come to cost, if its prompt has at most `prompt_max` tokens.

        The plain ones are among them: a provider may serve a request in another tier than it asked for.
        """
        if not (tier or self.above):
            return (self.rates,)
        tariffs = (self, self.tiers[tier]) if tier in self.tiers else (self,)
        rates = [tariff.rates for tariff in tariffs]
        rates += [step.rates for tariff in tariffs for step in tariff.above if prompt_max > step.tokens]
        return tuple(dict.fromkeys(rates))

    def charge(self, tokens: Tokens, asked: str, served: str, hold_nano: int) -> tuple[str, Rates]:
        """The tier and the prices to charge. `served` is what the answer named, empty when it named nothing that can be
        trusted."""
        if not (asked or self.above) and served in PLAIN_TIERS:
            return "", self.rates
        tier = asked
        if served and served != asked:
            if served in PLAIN_TIERS:
                tier = ""
            elif served in self.tiers and cost_nano(tokens, self.resolve(tokens.prompt, served)) <= hold_nano:
                tier = served
        if tier in PLAIN_TIERS or tier not in self.tiers:
            tier = ""
        return tier, self.resolve(tokens.prompt, tier)


def scaled(rates: Rates, plain: Rates, own: Rates) -> Rates:
    """`rates`, which are those above a threshold of `plain`, for a tier that has `own` instead of `plain`: in proportion, rounded
    up. For a tier whose price list is silent about long prompts."""
    changes = {}
    for name in _TOKEN_RATES:
        steep, flat = getattr(rates, name), getattr(plain, name)
        if steep is not None and getattr(own, name) is not None:
            changes[name] = -(-steep * getattr(own, name) // flat) if flat else max(steep, getattr(own, name))
    scale: Callable[..., Rates] = msgspec.structs.replace
    return scale(own, **changes)
