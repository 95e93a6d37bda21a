"""Price times tokens gives money, in integers.

Rule: rates are pico-dollars per token, costs nano-dollars; a cost is rounded up once per generation and never elsewhere.
Rule: decimal strings are the only way in; a float is refused, because 0.1 is not a price anybody meant.
"""

import re
from functools import lru_cache

from usage.record import Rates, Tokens

NANO_PER_DOLLAR = 1_000_000_000
PICO_PER_NANO = 1_000
PICO_PER_DOLLAR = 1_000_000_000_000
TOKENS_PER_PRICE = 1_000_000
"""Published prices are dollars per million tokens."""

_DECIMAL = re.compile(r"(\d{1,9})(?:\.(\d{1,12}))?\Z", re.ASCII)


def dollars_to(units_per_dollar: int, text: str) -> int:
    """A decimal string of dollars in integer units; ValueError when it is no plain decimal or finer than one unit."""
    match = _DECIMAL.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a plain decimal number of dollars such as '0.15'")
    whole, fraction = match[1], match[2] or ""
    scaled = int(whole + fraction) * units_per_dollar
    scale: int = 10 ** len(fraction)
    units, rest = divmod(scaled, scale)
    if rest:
        raise ValueError(f"{text!r} is finer than the smallest unit, 1/{units_per_dollar} dollar")
    return units


def nano_from_dollars(text: str) -> int:
    """Nano-dollars of an amount such as '5.00'."""
    return dollars_to(NANO_PER_DOLLAR, text)


def pico_per_token(dollars_per_million: str) -> int:
    """Pico-dollars per token of a published price such as '0.15' dollars per million tokens."""
    return dollars_to(PICO_PER_DOLLAR // TOKENS_PER_PRICE, dollars_per_million)


def pico_per_request(dollars: str) -> int:
    """Pico-dollars of a fixed price per request such as '0.005' dollars."""
    return dollars_to(PICO_PER_DOLLAR, dollars)


def dollars(nano: int) -> str:
    """Nano-dollars as an exact decimal string without an exponent or trailing zeros: 150 -> '0.00000015'."""
    if nano < 0:
        return "-" + dollars(-nano)
    digits = f"{nano:010d}"
    fraction = digits[-9:].rstrip("0")
    return f"{digits[:-9]}.{fraction}" if fraction else digits[:-9]


def cost_pico(tokens: Tokens, rates: Rates) -> int:
    """The exact cost in pico-dollars. Each token is charged once, however many parts it is in, and none beyond its whole."""
    if tokens == Tokens(tokens.prompt, tokens.completion):
        return rates.request + tokens.prompt * rates.input + tokens.completion * rates.output
    return rates.request + pieces_pico(tokens, rates) + _prompt_pico(tokens, rates) + _completion_pico(tokens, rates)


def pieces_pico(tokens: Tokens, rates: Rates) -> int:
    """What is not counted in tokens."""
    pico = tokens.searches * rates.search + tokens.seconds * rates.second
    return pico + tokens.characters * rates.character + tokens.images * rates.image


def _prompt_pico(tokens: Tokens, rates: Rates) -> int:
    """A token that was read from a cache or written to one costs that, whatever else it is.

    How many of the others are sounds or images is not told: they are as many as there can be, if those are dearer.
    """
    whole, plain = tokens.prompt, rates.input
    writes = min(tokens.cache_write, whole)
    writes_12h = min(tokens.cache_write_12h, writes)
    writes_1h = min(tokens.cache_write_1h, writes - writes_12h)
    own = (
        (rates.cached, tokens.cached),
        (rates.cache_write, writes - writes_1h - writes_12h),
        (rates.cache_write if rates.cache_write_1h is None else rates.cache_write_1h, writes_1h),
        (rates.cache_write if rates.cache_write_12h is None else rates.cache_write_12h, writes_12h),
    )
    cost, uncached = _dearest_first(whole, [(rate, count) for rate, count in own if count and rate is not None])
    if not (tokens.audio_prompt or tokens.image_prompt):
        return cost + uncached * plain
    kinds = [
        (plain if rates.audio_prompt is None else rates.audio_prompt, tokens.audio_prompt),
        (plain if rates.image_prompt is None else rates.image_prompt, tokens.image_prompt),
        (plain, max(whole - tokens.audio_prompt - tokens.image_prompt, 0)),
    ]
    return cost + _dearest_first(uncached, kinds)[0]


def _completion_pico(tokens: Tokens, rates: Rates) -> int:
    whole, plain = tokens.completion, rates.output
    parts = tokens.reasoning + tokens.audio_completion + tokens.image_completion
    kinds = [
        (plain if rates.reasoning is None else rates.reasoning, tokens.reasoning),
        (plain if rates.audio_completion is None else rates.audio_completion, tokens.audio_completion),
        (plain if rates.image_completion is None else rates.image_completion, tokens.image_completion),
        (plain, max(whole - parts, 0)),
    ]
    return _dearest_first(whole, kinds)[0]


def _dearest_first(whole: int, kinds: list[tuple[int, int]]) -> tuple[int, int]:
    """(cost, tokens left) of `whole` tokens, some of each kind (rate, count); where kinds overlap, the dearest counts."""
    if len(kinds) > 1:
        kinds.sort(reverse=True)
    cost = 0
    for rate, count in kinds:
        taken = count if count < whole else whole
        cost += taken * rate
        whole -= taken
    return cost, whole


def cost_nano(tokens: Tokens, rates: Rates) -> int:
    """The cost in nano-dollars, rounded up once."""
    return -(-cost_pico(tokens, rates) // PICO_PER_NANO)


_OLD_PARTS = (("cached", "cache_write", "audio_prompt", "image_prompt"), ("reasoning", "audio_completion", "image_completion"))


def is_cost(cost: int, tokens: Tokens, rates: Rates) -> bool:
    """Whether `cost` nano-dollars is what tokens and rates make.

    Until November 2026 parts that overlap were charged each at its own rate. Records from then, in a store or in the journal of
    an edge that is still to be replaced, are right as they are.
    """
    if cost == cost_nano(tokens, rates):
        return True
    pico = rates.request
    for whole, plain, parts in zip((tokens.prompt, tokens.completion), (rates.input, rates.output), _OLD_PARTS, strict=True):
        counts = [getattr(tokens, part) for part in parts]
        pico += max(whole - sum(counts), 0) * plain
        for part, count in zip(parts, counts, strict=True):
            rate = getattr(rates, part)
            pico += count * (plain if rate is None else rate)
    return cost == -(-pico // PICO_PER_NANO)


def dollars_of_pico(pico: int) -> str:
    """Pico-dollars, never negative, as an exact decimal string: 146625000 -> '0.000146625'."""
    whole, fraction = divmod(pico, PICO_PER_DOLLAR)
    return f"{whole}.{fraction:012d}".rstrip("0").rstrip(".")


@lru_cache(4_096)
def dearest(rates: Rates) -> tuple[int, int]:
    """The most pico-dollars that any one prompt token, and any one completion token, can cost."""
    writes = max(rates.cache_write or 0, rates.cache_write_1h or 0, rates.cache_write_12h or 0)
    prompt = max(rates.input, rates.cached or 0, writes, rates.audio_prompt or 0, rates.image_prompt or 0)
    completion = max(rates.output, rates.reasoning or 0, rates.audio_completion or 0, rates.image_completion or 0)
    return prompt, completion


def worst_case_nano(prompt_max: int, completion_max: int, rates: Rates, searches_max: int = 0) -> int:
    """What must be held, in nano-dollars, so that no generation within these bounds can cost more."""
    rate_prompt, rate_completion = dearest(rates)
    fixed = rates.request + searches_max * rates.search
    return -(-(fixed + prompt_max * rate_prompt + completion_max * rate_completion) // PICO_PER_NANO)


def completion_affordable(amount_nano: int, prompt_max: int, rates: Rates, searches_max: int = 0) -> int:
    """The most completion tokens whose worst case fits `amount_nano`; negative when not even the prompt does."""
    rate_prompt, rate_completion = dearest(rates)
    rest = amount_nano * PICO_PER_NANO - rates.request - searches_max * rates.search - prompt_max * rate_prompt
    if rest < 0:
        return -1
    return rest // rate_completion if rate_completion else 2**53
