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
    """The exact cost in pico-dollars. Parts that exceed their whole are charged at their own rate, the whole never negative."""
    if tokens == (plain := Tokens(tokens.prompt, tokens.completion)):
        return rates.request + plain.prompt * rates.input + plain.completion * rates.output
    plain_prompt = tokens.prompt - tokens.cached - tokens.cache_write - tokens.audio_prompt - tokens.image_prompt
    plain_completion = tokens.completion - tokens.reasoning - tokens.audio_completion - tokens.image_completion
    total = rates.request + max(plain_prompt, 0) * rates.input + max(plain_completion, 0) * rates.output
    if tokens.cached:
        total += tokens.cached * (rates.input if rates.cached is None else rates.cached)
    if tokens.cache_write:
        total += tokens.cache_write * (rates.input if rates.cache_write is None else rates.cache_write)
    if tokens.audio_prompt:
        total += tokens.audio_prompt * (rates.input if rates.audio_prompt is None else rates.audio_prompt)
    if tokens.image_prompt:
        total += tokens.image_prompt * (rates.input if rates.image_prompt is None else rates.image_prompt)
    if tokens.reasoning:
        total += tokens.reasoning * (rates.output if rates.reasoning is None else rates.reasoning)
    if tokens.audio_completion:
        total += tokens.audio_completion * (rates.output if rates.audio_completion is None else rates.audio_completion)
    if tokens.image_completion:
        total += tokens.image_completion * (rates.output if rates.image_completion is None else rates.image_completion)
    return total


def cost_nano(tokens: Tokens, rates: Rates) -> int:
    """The cost in nano-dollars, rounded up once."""
    return -(-cost_pico(tokens, rates) // PICO_PER_NANO)


@lru_cache(4_096)
def dearest(rates: Rates) -> tuple[int, int]:
    """The most pico-dollars that any one prompt token, and any one completion token, can cost."""
    prompt = max(rates.input, rates.cached or 0, rates.cache_write or 0, rates.audio_prompt or 0, rates.image_prompt or 0)
    completion = max(rates.output, rates.reasoning or 0, rates.audio_completion or 0, rates.image_completion or 0)
    return prompt, completion


def worst_case_nano(prompt_max: int, completion_max: int, rates: Rates) -> int:
    """What must be held, in nano-dollars, so that no generation within these token bounds can cost more."""
    rate_prompt, rate_completion = dearest(rates)
    return -(-(rates.request + prompt_max * rate_prompt + completion_max * rate_completion) // PICO_PER_NANO)


def completion_affordable(amount_nano: int, prompt_max: int, rates: Rates) -> int:
    """The most completion tokens whose worst case fits `amount_nano`; negative when not even the prompt does."""
    rate_prompt, rate_completion = dearest(rates)
    rest = amount_nano * PICO_PER_NANO - rates.request - prompt_max * rate_prompt
    if rest < 0:
        return -1
    return rest // rate_completion if rate_completion else 2**53
