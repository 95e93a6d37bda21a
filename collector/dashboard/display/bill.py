"""The bill of one generation: the sum that its cost is, line by line.

Rule: the lines add up to `usage.pricing.cost_pico`, to the pico-dollar; a property test holds them to it. How tokens that are in
several parts are charged is said there.
"""

from operator import itemgetter

import msgspec

from usage.pricing import PICO_PER_NANO, cost_nano, dollars_of_pico
from usage.record import Rates, Tokens, UsageRecord


class BillLine(msgspec.Struct, frozen=True):
    """`quantity` of `name` at `rate` pico-dollars each, which are said per `per` of them."""

    name: str
    quantity: int
    rate: int
    per: int = 1_000_000

    @property
    def pico(self) -> int:
        return self.quantity * self.rate

    @property
    def price(self) -> str:
        """Dollars, per million tokens or each."""
        return f"${pico_dollars(self.rate * self.per)}" + (" / M" if self.per > 1 else " each")

    @property
    def amount(self) -> str:
        return pico_dollars(self.pico)


def bill_of(record: UsageRecord) -> list[BillLine]:
    """The lines of what was charged; none where nothing was. A record from before a change of the rule is one line."""
    if record.cost_nano == 0:
        return []
    if record.cost_nano != cost_nano(record.tokens, record.rates):
        return [BillLine("by the rule of that time", 1, record.cost_nano * PICO_PER_NANO, 1)]
    return lines_of(record.tokens, record.rates)


def lines_of(tokens: Tokens, rates: Rates) -> list[BillLine]:
    """See `bill_of`."""
    fixed = [
        BillLine("request", 1, rates.request, 1),
        BillLine("searches", tokens.searches, rates.search, 1),
        BillLine("seconds of sound", tokens.seconds, rates.second, 1),
        BillLine("characters", tokens.characters, rates.character, 1),
        BillLine("images", tokens.images, rates.image, 1),
    ]
    lines = [*_prompt(tokens, rates), *_completion(tokens, rates), *(line for line in fixed if line.rate)]
    return [line for line in lines if line.quantity]


def _prompt(tokens: Tokens, rates: Rates) -> list[BillLine]:
    writes = min(tokens.cache_write, tokens.prompt)
    writes_12h = min(tokens.cache_write_12h, writes)
    writes_1h = min(tokens.cache_write_1h, writes - writes_12h)
    rate_1h = rates.cache_write if rates.cache_write_1h is None else rates.cache_write_1h
    rate_12h = rates.cache_write if rates.cache_write_12h is None else rates.cache_write_12h
    own = (
        ("prompt, read from a cache", rates.cached, tokens.cached),
        ("prompt, written to a cache", rates.cache_write, writes - writes_1h - writes_12h),
        ("prompt, written to a cache for an hour", rate_1h, writes_1h),
        ("prompt, written to a cache for 12 hours", rate_12h, writes_12h),
    )
    lines, uncached = _dearest_first(
        tokens.prompt, [(rate, count, name) for name, rate, count in own if count and rate is not None]
    )
    audio = rates.input if rates.audio_prompt is None else rates.audio_prompt
    image = rates.input if rates.image_prompt is None else rates.image_prompt
    plain = max(tokens.prompt - tokens.audio_prompt - tokens.image_prompt, 0)
    if not (tokens.audio_prompt or tokens.image_prompt):
        return [*lines, BillLine("prompt", uncached, rates.input)]
    kinds = [
        (audio, tokens.audio_prompt, "prompt, sound"),
        (image, tokens.image_prompt, "prompt, images"),
        (rates.input, plain, "prompt"),
    ]
    return [*lines, *_dearest_first(uncached, kinds)[0]]


def _completion(tokens: Tokens, rates: Rates) -> list[BillLine]:
    plain = rates.output
    parts = tokens.reasoning + tokens.audio_completion + tokens.image_completion
    kinds = [
        (plain if rates.reasoning is None else rates.reasoning, tokens.reasoning, "completion, reasoning"),
        (plain if rates.audio_completion is None else rates.audio_completion, tokens.audio_completion, "completion, sound"),
        (plain if rates.image_completion is None else rates.image_completion, tokens.image_completion, "completion, images"),
        (plain, max(tokens.completion - parts, 0), "completion"),
    ]
    return _dearest_first(tokens.completion, kinds)[0]


def _dearest_first(whole: int, kinds: list[tuple[int, int, str]]) -> tuple[list[BillLine], int]:
    lines = []
    for rate, count, name in sorted(kinds, key=itemgetter(0), reverse=True):
        taken = min(count, whole)
        whole -= taken
        lines.append(BillLine(name, taken, rate))
    return lines, whole


def pico_dollars(pico: int) -> str:
    """Pico-dollars as an exact decimal of dollars, with cents at least."""
    whole, _, part = dollars_of_pico(pico).partition(".")
    return f"{whole}.{part.ljust(2, '0')}"
