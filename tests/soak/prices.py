"""A million prices against exact fractions: never under-charged, less than one nano-dollar over."""

import random
from decimal import Decimal
from fractions import Fraction

import msgspec

from tests.soak.report import Report
from usage.pricing import NANO_PER_DOLLAR, cost_nano, pico_per_request, pico_per_token
from usage.record import Rates, Tokens

PARTS = ("cached", "cache_write", "audio_prompt", "image_prompt")
OUTPUT_PARTS = ("reasoning", "audio_completion", "image_completion")


def _price(dice: random.Random) -> str:
    """Dollars per million tokens, as a table has them."""
    places = dice.choice((0, 1, 2, 3, 4, 6))
    amount = dice.choice((1, 10, 100, 1000)) * dice.random()
    return f"{amount:.{places}f}"


def _split(dice: random.Random, whole: int, names: tuple[str, ...]) -> dict[str, int]:
    """Parts of a whole, together never more than it."""
    parts = {}
    for name in names:
        parts[name] = dice.randint(0, whole) if dice.random() < 0.4 else 0
        whole -= parts[name]
    return parts


def _exact(tokens: Tokens, prices: dict[str, str]) -> Fraction:
    """Nano-dollars, by the rules of the price list and nothing else."""
    price = {name: Fraction(text) / 1_000_000 for name, text in prices.items() if name != "request"}
    prompt = tokens.prompt - sum(getattr(tokens, name) for name in PARTS)
    completion = tokens.completion - sum(getattr(tokens, name) for name in OUTPUT_PARTS)
    total = prompt * price["input"] + completion * price["output"] + Fraction(prices["request"])
    total += sum(getattr(tokens, name) * price.get(name, price["input"]) for name in PARTS)
    total += sum(getattr(tokens, name) * price.get(name, price["output"]) for name in OUTPUT_PARTS)
    return Fraction(total * NANO_PER_DOLLAR)


def soak(report: Report, seed: int, count: int) -> None:
    dice = random.Random(seed)
    over_max = Fraction(0)
    for _ in range(count):
        prices = {"input": _price(dice), "output": _price(dice), "request": dice.choice(("0", "0.005", "0.000000001"))}
        prices |= {name: _price(dice) for name in (*PARTS, *OUTPUT_PARTS) if dice.random() < 0.5}
        for name in ("audio_prompt", "image_prompt"):
            if name in prices:
                # As everywhere: a cheaper one might be what was cached, and then is charged as text.
                prices[name] = str(Decimal(prices[name]) + Decimal(prices["input"]))
        pico = {name: pico_per_token(text) for name, text in prices.items() if name != "request"}
        rates = msgspec.convert(pico | {"request": pico_per_request(prices["request"])}, Rates)
        prompt, completion = (dice.randint(0, 10 ** dice.randint(0, 7)) for _ in range(2))
        parts = _split(dice, prompt, PARTS) | _split(dice, completion, OUTPUT_PARTS)
        tokens = Tokens(prompt=prompt, completion=completion, **parts)
        over = cost_nano(tokens, rates) - _exact(tokens, prices)
        assert 0 <= over < 1, (tokens, prices, over)
        over_max = max(over_max, over)
    report.say("prices compared", count)
    report.say("most over-charged, nano-dollars", f"{float(over_max):.6f}")
