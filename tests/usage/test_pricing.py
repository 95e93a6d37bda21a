"""Prices: integers all the way, against exact fractions."""

import os
import random
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage.pricing import (
    completion_affordable,
    cost_nano,
    cost_pico,
    dollars,
    dollars_to,
    nano_from_dollars,
    pico_per_request,
    pico_per_token,
    worst_case_nano,
)
from usage.record import Rates, Tokens

ROUNDS = int(os.environ.get("TOLLWAY_PRICES", "100000"))
"""The long form, 1,000,000, is run by scripts/soak."""
PROMPT_PARTS = ("cached", "cache_write", "audio_prompt", "image_prompt")
COMPLETION_PARTS = ("reasoning", "audio_completion", "image_completion")


def exact_nano(tokens: Tokens, rates: Rates) -> Fraction:
    """The cost as anybody would write it down: each part at its own rate, the rest at the plain one."""
    pico = rates.request
    for whole, parts, plain in (
        (tokens.prompt, PROMPT_PARTS, rates.input),
        (tokens.completion, COMPLETION_PARTS, rates.output),
    ):
        rest = whole
        for part in parts:
            count, rate = getattr(tokens, part), getattr(rates, part)
            rest -= count
            pico += count * (plain if rate is None else rate)
        pico += max(rest, 0) * plain
    return Fraction(pico, 1000)


def random_case(dice: random.Random) -> tuple[Tokens, Rates]:
    def parts(whole: int, names: tuple[str, ...]) -> dict[str, int]:
        found = {}
        for name in names:
            if dice.random() < 0.4:
                found[name] = dice.randint(0, whole)
                whole -= found[name] if dice.random() < 0.95 else 0
        return found

    def rate() -> int:
        return dice.choice((0, dice.randint(1, 999), dice.randint(1, 10**5), dice.randint(1, 10**9)))

    prompt, completion = dice.randint(0, 10 ** dice.randint(0, 7)), dice.randint(0, 10 ** dice.randint(0, 6))
    tokens = Tokens(prompt, completion, **parts(prompt, PROMPT_PARTS), **parts(completion, COMPLETION_PARTS))
    rates = Rates(input=rate(), output=rate(), request=rate())
    own = {name: rate() for name in PROMPT_PARTS + COMPLETION_PARTS if dice.random() < 0.4}
    return tokens, msgspec.structs.replace(rates, **own)


def test_prices_at_random_are_exact() -> None:
    """Never under-charged, less than one nano-dollar over, and never above the worst case; the seed is fixed."""
    dice = random.Random(7)
    for _ in range(ROUNDS):
        tokens, rates = random_case(dice)
        exact = exact_nano(tokens, rates)
        cost = cost_nano(tokens, rates)
        assert exact <= cost < exact + 1, (tokens, rates)
        parts_sum = sum(getattr(tokens, part) for part in PROMPT_PARTS)
        completion_sum = sum(getattr(tokens, part) for part in COMPLETION_PARTS)
        prompt_max, completion_max = max(tokens.prompt, parts_sum), max(tokens.completion, completion_sum)
        assert cost <= worst_case_nano(prompt_max, completion_max, rates), (tokens, rates)


def test_price_in_floats_is_caught() -> None:
    """The wrong variant: the same sum in floating point goes wrong, and the test above would see it."""
    dice = random.Random(7)
    wrong = 0
    for _ in range(5000):
        tokens, rates = random_case(dice)
        exact = exact_nano(tokens, rates)
        price = rates.request * 1e-12 + tokens.prompt * (rates.input * 1e-12) + tokens.completion * (rates.output * 1e-12)
        cost = -(-price * 1e9 // 1)
        wrong += not exact <= cost < exact + 1
    assert wrong > 0


def test_price_rounded_per_part_is_caught() -> None:
    """Rounding each part up is dearer than a nano-dollar; rounding once is not."""
    tokens, rates = (
        Tokens(prompt=3, completion=3, cached=1, reasoning=1),
        Rates(input=1, output=1, cached=1, reasoning=1, request=1),
    )
    assert cost_nano(tokens, rates) == 1
    assert sum(-(-part // 1000) for part in (1, 2, 1, 2, 1)) > 1


def test_cost_without_usage_is_the_request_price() -> None:
    """A request price is owed even when no token was counted; nothing costs nothing."""
    assert cost_nano(Tokens(), Rates(request=5_000)) == 5
    assert cost_nano(Tokens(), Rates(input=3, output=4)) == 0


def test_part_greater_than_its_whole_is_charged_as_told() -> None:
    """A provider that counts parts apart from the whole is charged for the parts, never below zero for the rest."""
    assert cost_pico(Tokens(prompt=1, cached=5), Rates(input=100, cached=10)) == 50


@pytest.mark.parametrize(
    ("text", "pico"), [("0.15", 150_000), ("0.075", 75_000), ("15", 15_000_000), ("0", 0), ("0.000001", 1), ("75.00", 75_000_000)]
)
def test_price_per_million_in_picos(text: str, pico: int) -> None:
    """Published prices are exact in pico-dollars per token."""
    assert pico_per_token(text) == pico


@pytest.mark.parametrize("text", ["", "-1", "1e3", ".5", "5.", "0,15", " 1", "1 ", "NaN", "0.0000001", "١", "1" * 10, "0x1"])
def test_price_that_is_no_plain_decimal_is_refused(text: str) -> None:
    """What nobody would print on a price list is a mistake, and what is finer than a pico-dollar cannot be kept."""
    with pytest.raises(ValueError, match=r"plain decimal|finer"):
        pico_per_token(text)


def test_price_per_request_in_picos() -> None:
    """Half a cent."""
    assert pico_per_request("0.005") == 5_000_000_000


@given(st.integers(-(10**18), 10**18))
def test_dollars_of_an_amount_are_exact(nano: int) -> None:
    """The text of an amount is the amount: no exponent, no trailing zero, and it reads back."""
    text = dollars(nano)
    assert "e" not in text.lower()
    assert not ("." in text and text.endswith("0"))
    assert Fraction(text) * 10**9 == nano


@given(st.integers(0, 10**17))
def test_dollars_read_back(nano: int) -> None:
    """A written amount is read as the same integer."""
    assert nano_from_dollars(dollars(nano)) == nano


@given(st.integers(0, 10**9 - 1), st.integers(0, 12))
def test_dollars_to_any_unit_is_exact_or_refused(whole: int, digits: int) -> None:
    """Never silently rounded."""
    text = str(whole) + (f".{1:0{digits}d}" if digits else "")
    exact = Fraction(text) * 10**6
    if exact.denominator == 1:
        assert dollars_to(10**6, text) == exact
    else:
        with pytest.raises(ValueError, match="finer"):
            dollars_to(10**6, text)


rates = st.builds(
    Rates,
    input=st.integers(0, 10**6),
    output=st.integers(0, 10**6),
    request=st.integers(0, 10**9),
    reasoning=st.none() | st.integers(0, 10**6),
)


@given(st.integers(0, 10**10), st.integers(0, 10**6), rates)
def test_affordable_is_the_most_that_fits(amount_nano: int, prompt: int, rates: Rates) -> None:
    """As many completion tokens as the worst case allows, and not one more; negative when the prompt is too dear already."""
    most = completion_affordable(amount_nano, prompt, rates)
    if most < 0:
        assert worst_case_nano(prompt, 0, rates) > amount_nano
        return
    assert worst_case_nano(prompt, most, rates) <= amount_nano
    if max(rates.output, rates.reasoning or 0):
        assert worst_case_nano(prompt, most + 1, rates) > amount_nano
