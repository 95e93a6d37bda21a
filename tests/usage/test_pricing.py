"""Prices: integers all the way, against exact fractions."""

import os
import random
from collections.abc import Sequence
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
    dollars_of_pico,
    dollars_to,
    is_cost,
    nano_from_dollars,
    pico_per_request,
    pico_per_token,
    worst_case_nano,
)
from usage.record import Rates, Tokens

ROUNDS = int(os.environ.get("TOLLWAY_PRICES", "100000"))
"""The long form, 1,000,000, is run by scripts/soak."""
WRITES = ("cache_write", "cache_write_1h", "cache_write_12h")
PROMPT_PARTS = ("cached", *WRITES, "audio_prompt", "image_prompt")
COMPLETION_PARTS = ("reasoning", "audio_completion", "image_completion")


def every_split(whole: int, counts: list[int]) -> list[tuple[int, ...]]:
    """All ways to give each of `whole` tokens at most one of the kinds, no kind more than its count; the rest comes last."""
    ways: list[tuple[int, ...]] = [()]
    for count in counts:
        ways = [(*way, taken) for way in ways for taken in range(min(count, whole - sum(way)) + 1)]
    return [(*way, whole - sum(way)) for way in ways]


def priciest(whole: int, kinds: Sequence[tuple[int | None, int]], plain: int) -> int:
    """The dearest way to give each token one kind, plain ones at most what the kinds leave; found by trying all."""
    least_plain = max(whole - sum(count for _, count in kinds), 0)
    rates = [plain if rate is None else rate for rate, _ in kinds] + [plain]
    ways = (way for way in every_split(whole, [count for _, count in kinds]) if way[-1] <= least_plain)
    return max(sum(count * rate for count, rate in zip(way, rates, strict=True)) for way in ways)


def reference_pico(tokens: Tokens, rates: Rates) -> int:
    """The cost as the rule has it, by trying every split: a cache before a modality, the dearest where it is not told."""
    whole = tokens.prompt
    writes = min(tokens.cache_write, whole)
    writes_12h = min(tokens.cache_write_12h, writes)
    writes_1h = min(tokens.cache_write_1h, writes - writes_12h)
    parts = [
        (rates.cached, tokens.cached),
        (rates.cache_write, writes - writes_12h - writes_1h),
        (rates.cache_write if rates.cache_write_1h is None else rates.cache_write_1h, writes_1h),
        (rates.cache_write if rates.cache_write_12h is None else rates.cache_write_12h, writes_12h),
    ]
    own = [(rate, count) for rate, count in parts if rate is not None]
    left = max(whole - sum(count for _, count in own), 0)
    cost = priciest(whole - left, own, 0)
    kinds = [(rates.audio_prompt, tokens.audio_prompt), (rates.image_prompt, tokens.image_prompt)]
    text = max(whole - tokens.audio_prompt - tokens.image_prompt, 0)
    splits = [way for way in every_split(left, [count for _, count in kinds]) if way[-1] <= text]
    by_kind = [rates.input if rate is None else rate for rate, _ in kinds] + [rates.input]
    cost += max(sum(count * rate for count, rate in zip(way, by_kind, strict=True)) for way in splits)
    of_completion = [(getattr(rates, part), getattr(tokens, part)) for part in COMPLETION_PARTS]
    cost += priciest(tokens.completion, of_completion, rates.output)
    return rates.request + tokens.searches * rates.search + cost


def exact_nano(tokens: Tokens, rates: Rates) -> Fraction:
    """The cost of parts that do not overlap, as anybody would write it down: each at its own rate, the rest at the plain one."""
    plain, output = rates.input, rates.output
    short = plain if rates.cache_write is None else rates.cache_write
    own = {
        "cached": plain,
        "audio_prompt": plain,
        "image_prompt": plain,
        "cache_write_1h": short,
        "cache_write_12h": short,
    } | dict.fromkeys(COMPLETION_PARTS, output)
    pico = rates.request + tokens.searches * rates.search
    for part, parent in own.items():
        rate = getattr(rates, part)
        pico += getattr(tokens, part) * (parent if rate is None else rate)
    pico += (tokens.cache_write - tokens.cache_write_1h - tokens.cache_write_12h) * short
    pico += (tokens.prompt - tokens.cached - tokens.cache_write - tokens.audio_prompt - tokens.image_prompt) * plain
    pico += (tokens.completion - sum(getattr(tokens, part) for part in COMPLETION_PARTS)) * output
    return Fraction(pico, 1000)


def random_case(dice: random.Random) -> tuple[Tokens, Rates]:
    def parts(whole: int, names: tuple[str, ...]) -> dict[str, int]:
        found = {}
        for name in names:
            if dice.random() < 0.4:
                found[name] = dice.randint(0, whole)
                whole -= found[name]
        return found

    def rate() -> int:
        return dice.choice((0, dice.randint(1, 999), dice.randint(1, 10**5), dice.randint(1, 10**9)))

    prompt, completion = dice.randint(0, 10 ** dice.randint(0, 7)), dice.randint(0, 10 ** dice.randint(0, 6))
    of_prompt = parts(prompt, ("cached", "cache_write", "audio_prompt", "image_prompt"))
    of_prompt |= parts(of_prompt.get("cache_write", 0), ("cache_write_1h", "cache_write_12h"))
    tokens = Tokens(prompt, completion, **of_prompt, **parts(completion, COMPLETION_PARTS), searches=dice.choice((0, 0, 3)))
    rates = Rates(input=rate(), output=rate(), request=rate(), search=rate())
    own = {name: rate() for name in PROMPT_PARTS + COMPLETION_PARTS if dice.random() < 0.4}
    for name in ("audio_prompt", "image_prompt"):
        if name in own:
            # As everywhere: a cheaper one might be what was cached, and then is charged as text.
            own[name] += rates.input
    return tokens, msgspec.structs.replace(rates, **own)


def test_prices_at_random_are_exact() -> None:
    """Never under-charged, less than one nano-dollar over, and never above the worst case; the seed is fixed."""
    dice = random.Random(7)
    for _ in range(ROUNDS):
        tokens, rates = random_case(dice)
        exact = exact_nano(tokens, rates)
        cost = cost_nano(tokens, rates)
        assert exact <= cost < exact + 1, (tokens, rates)
        assert cost <= worst_case_nano(tokens.prompt, tokens.completion, rates, tokens.searches), (tokens, rates)


def test_price_of_many_parts_is_rounded_once() -> None:
    """Five parts that cost a fraction of a nano-dollar each cost one together. Rounded up each, they would cost five."""
    tokens, rates = (
        Tokens(prompt=3, completion=3, cached=1, reasoning=1),
        Rates(input=1, output=1, cached=1, reasoning=1, request=1),
    )
    assert cost_nano(tokens, rates) == 1


def test_cost_without_usage_is_the_request_price() -> None:
    """A request price is owed even when no token was counted; nothing costs nothing."""
    assert cost_nano(Tokens(), Rates(request=5_000)) == 5
    assert cost_nano(Tokens(), Rates(input=3, output=4)) == 0


FEW = st.integers(0, 5)
SOME_RATE = st.integers(0, 9)
odd_tokens = st.builds(
    Tokens, prompt=FEW, completion=FEW, searches=st.integers(0, 2), **dict.fromkeys(PROMPT_PARTS + COMPLETION_PARTS, FEW)
)
odd_rates = st.builds(
    Rates,
    input=SOME_RATE,
    output=SOME_RATE,
    request=SOME_RATE,
    search=SOME_RATE,
    **dict.fromkeys(PROMPT_PARTS + COMPLETION_PARTS, st.none() | SOME_RATE),
)


@given(odd_tokens, odd_rates)
def test_price_of_parts_that_overlap_is_the_dearest_split(tokens: Tokens, rates: Rates) -> None:
    """Whatever the parts say, each token costs once, at a rate that can be its own; never beyond the worst case of the wholes."""
    cost = cost_pico(tokens, rates)
    assert cost == reference_pico(tokens, rates)
    assert -(-cost // 1000) <= worst_case_nano(tokens.prompt, tokens.completion, rates, tokens.searches)


def test_price_of_parts_that_overlap_is_not_their_sum() -> None:
    """90 cached and 80 sound tokens of 100 are no 170 tokens: that would be 6.4 times too dear."""
    tokens, rates = Tokens(prompt=100, cached=90, audio_prompt=80), Rates(input=100_000, cached=10_000, audio_prompt=300_000)
    assert cost_pico(tokens, rates) == reference_pico(tokens, rates) == 90 * 10_000 + 10 * 300_000


@pytest.mark.parametrize(
    ("tokens", "rates", "pico"),
    [
        # Which of the ten tokens that were not cached are of the image is not told: all may be.
        (Tokens(100, cached=90, image_prompt=80), Rates(input=10, cached=1, image_prompt=20), 90 + 10 * 20),
        # An image that is cheaper than text: the twenty that are no image may all be among the ten.
        (Tokens(100, cached=90, image_prompt=80), Rates(input=10, cached=1, image_prompt=5), 90 + 10 * 10),
        # No discount is known for what is cached, so it costs what it is.
        (Tokens(100, cached=90, image_prompt=80), Rates(input=10, image_prompt=20), 80 * 20 + 20 * 10),
        (Tokens(1000, cached=1001), Rates(input=10, cached=1), 1000),
        (Tokens(10, cached=8, cache_write=8), Rates(input=10, cached=1, cache_write=12), 8 * 12 + 2 * 1),
        (Tokens(100, audio_prompt=80, image_prompt=80), Rates(input=1, audio_prompt=7, image_prompt=5), 80 * 7 + 20 * 5),
        (Tokens(0, 100, reasoning=90, audio_completion=80), Rates(output=1, audio_completion=8), 80 * 8 + 20 * 1),
        (Tokens(0, 1, reasoning=290), Rates(output=3, reasoning=2), 2),
        # Cache writes by their life; a split that exceeds its sum does not make more of them.
        (
            Tokens(10, cache_write=6, cache_write_1h=4),
            Rates(input=10, cache_write=12, cache_write_1h=20),
            2 * 12 + 4 * 20 + 4 * 10,
        ),
        (Tokens(10, cache_write=6, cache_write_12h=9), Rates(input=10, cache_write=12, cache_write_12h=25), 6 * 25 + 4 * 10),
        (Tokens(10, cache_write=6, cache_write_1h=4), Rates(input=10, cache_write=12), 6 * 12 + 4 * 10),
        (Tokens(5, 5, searches=3), Rates(input=1, output=1, search=10**10), 10 + 3 * 10**10),
    ],
)
def test_price_of_tokens_that_are_in_two_parts(tokens: Tokens, rates: Rates, pico: int) -> None:
    """Each token once: by the cache if it went through one, else by the dearest kind that it can be."""
    assert cost_pico(tokens, rates) == pico == reference_pico(tokens, rates)


def test_cost_of_an_older_record_is_right_as_it_is() -> None:
    """What was charged part by part before is no fault of the books; any other figure is."""
    tokens, rates = Tokens(100, cached=90, image_prompt=80), Rates(input=10_000, cached=1_000, image_prompt=20_000)
    assert is_cost(cost_nano(tokens, rates), tokens, rates)
    assert is_cost(90 + 80 * 20, tokens, rates)
    assert not is_cost(90 + 80 * 20 + 1, tokens, rates)
    assert not is_cost(0, tokens, rates)


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


@pytest.mark.parametrize(("pico", "text"), [(0, "0"), (146_625_000, "0.000146625"), (1, "0.000000000001"), (3 * 10**12, "3")])
def test_dollars_of_picos_are_exact(pico: int, text: str) -> None:
    """All digits, and no more than there are."""
    assert dollars_of_pico(pico) == text


@given(st.integers(0, 10**20))
def test_dollars_of_picos_read_back(pico: int) -> None:
    """The text of an amount is the amount."""
    assert Fraction(dollars_of_pico(pico)) * 10**12 == pico
