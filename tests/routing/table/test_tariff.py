"""Prices by service tier and by the prompt's size: read from the table, chosen for a request, shipped as the price lists say."""

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import data
from hypothesis import given
from hypothesis import strategies as st

from routing.table.config import ConfigError, Found, find, parse
from routing.table.provider import Model
from routing.table.tariff import Tariff
from routing.views.explanation import explain
from usage.pricing import cost_nano, worst_case_nano
from usage.record import Rates, Tokens

SHIPPED = Path(__file__).parents[3] / "providers.toml"
HEAD = '[providers.p]\nbase_url = "http://127.0.0.1:1"\napi_key = "none"\n[providers.p.models.m]\n'
FULL = (
    HEAD
    + """
input = "2"
cached_input = "0.2"
cache_write = "2.5"
output = "10"
search = "0.01"
request = "0.001"
above_272k = { input = "4", cached_input = "0.5", output = "15" }
above_500000 = { input = "8", output = "30" }
tiers.flex = { input = "1", output = "5" }
tiers.priority = { input = "4", output = "20", above_272k = { input = "9", output = "31" } }
"""
)


def model_of(text: str) -> Model:
    found = find(parse(text), "p/m")
    assert isinstance(found, Found)
    return found.model


TARIFF = model_of(FULL).tariff


@pytest.mark.parametrize(
    ("prompt", "tier", "expected"),
    [
        (0, "", (2_000_000, 200_000, 2_500_000, 10_000_000)),
        (272_000, "", (2_000_000, 200_000, 2_500_000, 10_000_000)),
        (272_001, "", (4_000_000, 500_000, 5_000_000, 15_000_000)),
        (500_001, "", (8_000_000, 800_000, 10_000_000, 30_000_000)),
        (10, "flex", (1_000_000, 100_000, 1_250_000, 5_000_000)),
        (272_001, "flex", (2_000_000, 250_000, 2_500_000, 7_500_000)),
        (500_001, "flex", (4_000_000, 400_000, 5_000_000, 15_000_000)),
        (10, "priority", (4_000_000, 400_000, 5_000_000, 20_000_000)),
        (600_000, "priority", (9_000_000, 900_000, 11_250_000, 31_000_000)),
        (600_000, "unheard", (8_000_000, 800_000, 10_000_000, 30_000_000)),
    ],
)
def test_tariff_of_a_prompt_and_a_tier(prompt: int, tier: str, expected: tuple[int, ...]) -> None:
    """A threshold is a cliff for all tokens; what an entry does not name is in proportion to what it names."""
    rates = TARIFF.resolve(prompt, tier)
    assert (rates.input, rates.cached, rates.cache_write, rates.output) == expected
    assert (rates.search, rates.request) == (10_000_000_000, 1_000_000_000)


@given(st.integers(0, 700_000), st.integers(0, 5_000), st.sampled_from(["", "flex", "priority"]), st.data())
def test_tariff_never_charges_more_than_was_possible(prompt: int, completion: int, tier: str, draw: st.DataObject) -> None:
    """Whatever tier the answer names and however long the prompt turned out, the hold covers it."""
    prompt_max = draw.draw(st.integers(prompt, 800_000))
    hold = max(worst_case_nano(prompt_max, completion, each) for each in TARIFF.possible(prompt_max, tier))
    served = draw.draw(st.sampled_from(["default", "flex", "priority", "scale", ""]))
    charged, rates = TARIFF.charge(Tokens(prompt, completion), tier, served, hold)
    assert charged in ("", "flex", "priority")
    assert cost_nano(Tokens(prompt, completion), rates) <= hold


def test_charge_of_a_served_tier_beyond_what_was_held_is_the_plain_one() -> None:
    """Whatever tier the answer names."""
    hold = worst_case_nano(100, 10, TARIFF.rates)
    assert cost_nano(Tokens(100, 10), TARIFF.resolve(100, "priority")) > hold
    assert TARIFF.charge(Tokens(100, 10), "", "priority", hold) == ("", TARIFF.rates)


def test_tariff_of_plain_rates_is_those() -> None:
    """Most models have one price."""
    rates = Rates(input=1, output=2)
    assert Tariff(rates).possible(10**9, "flex") == (rates,)
    assert Tariff(rates).charge(Tokens(5, 5), "", "", 0) == ("", rates)
    assert hash(Tariff(rates)) == hash(rates)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("above_272k = 4", "is a whole number; a table is expected"),
        ("above_k = { input = '1', output = '1' }", "names no number of prompt tokens"),
        ("above_0 = { input = '1', output = '1' }", "names no number of prompt tokens"),
        ("above_5k = { inputs = '1' }", "did you mean input?"),
        ("above_5k = { input = 1.5 }", 'write "1.5"'),
        ("tiers.auto = { input = '1', output = '1' }", "is no usable name of a tier"),
        ("tiers.Flex = { input = '1', output = '1' }", "is no usable name of a tier"),
        ("tiers.flex = { output = '1', speed = 2 }", "there is no such field"),
        ("searches_max = 0", "at least 1 is expected"),
        ("parameters = ['top k']", "which is no name of a parameter"),
        ("parameters = ['models']", "another model or cap"),
        ("parameters = ['-messages']", "without which nothing can be asked"),
        ("parameters = 'top_k'", "a list is expected"),
    ],
)
def test_table_that_is_wrong_about_prices_or_parameters_says_so(line: str, words: str) -> None:
    """Each problem with its line and what would be right."""
    with pytest.raises(ConfigError) as caught:
        parse(HEAD + "input = '1'\noutput = '1'\n" + line)
    assert words in str(caught.value)
    assert {problem.line for problem in caught.value.problems} == {7}


def test_explanation_tells_all_prices() -> None:
    """The operator sees what a long prompt and each tier cost."""
    text = "\n".join(explain(parse(FULL), frozenset(), "p/m"))
    assert "above 272000 prompt tokens: $4 input, $15 output, $0.5 cached input" in text
    assert "service tier flex: $1 input, $5 output" in text
    assert "service tier priority, above 272000 prompt tokens: $9 input" in text
    assert "$0.01 per web search" in text


NAMES = {"xai": "x-ai", "moonshot": "moonshotai"}
AT_SOME_HOURS = {"deepseek"}
"""Their dearer price is shipped, whatever the hour."""
DAY = datetime.date(2026, 12, 1)
"""Prices of this day are shipped: the next one on which a listed model changes its price."""


def listed_prices(provider: str, model: Model) -> Any:
    """What genai-prices says that the model costs on that day, None when it does not know it."""
    known = next((each for each in data.providers if each.id == NAMES.get(provider, provider)), None)
    found = None if known is None else next((each for each in known.models if each.is_match(model.name)), None)
    if found is None or not isinstance(found.prices, list):
        return None if found is None else found.prices
    current = None
    for each in found.prices:
        starts = getattr(each.constraint, "start_date", None)
        if each.constraint is None or (starts is not None and starts <= DAY):
            current = each.prices
    return current


def pico(price: Any, prompt: int) -> int | None:
    """Pico-dollars per token of a listed price, for a prompt of so many tokens."""
    if price is None:
        return None
    steps = [step.price for step in getattr(price, "tiers", ()) if prompt > step.start]
    return int((steps[-1] if steps else getattr(price, "base", price)) * Decimal(1_000_000))


@pytest.mark.parametrize("prompt", [1_000, 150_000, 250_000, 300_000, 600_000])
def test_shipped_prices_are_those_of_the_public_list(prompt: int) -> None:
    """Plain and above each threshold, wherever the list knows the model; a short prompt does not pay the long one's price."""
    compared = 0
    for provider in parse(SHIPPED.read_text()).providers.values():
        for model in provider.models.values():
            prices = listed_prices(provider.name, model)
            if prices is None or provider.name in AT_SOME_HOURS:
                continue
            rates = model.tariff.resolve(prompt)
            ours = (rates.input, rates.output, rates.cached, rates.cache_write, rates.cache_write_1h)
            theirs = tuple(
                pico(getattr(prices, name, None), prompt)
                for name in ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")
            )
            assert all(our == their for our, their in zip(ours, theirs, strict=True) if their is not None), (
                model.id,
                ours,
                theirs,
            )
            compared += 1
    assert compared >= 60


def test_shipped_vision_models_bound_their_images() -> None:
    """For every model that looks at pictures the family's bound is known, and one picture is never a whole window."""
    for provider in parse(SHIPPED.read_text()).providers.values():
        for model in provider.models.values():
            if "image" in model.input_modalities:
                assert model.image_tokens_max, model.id
                assert model.image_tokens_max < 50_000
