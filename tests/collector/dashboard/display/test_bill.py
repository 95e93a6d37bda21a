"""A bill adds up to what was charged, whatever parts its tokens are in."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from collector.dashboard.display.bill import lines_of, pico_dollars
from usage.pricing import cost_pico
from usage.record import Rates, Tokens

counts = st.integers(0, 10_000)
rates = st.integers(0, 10**8)
maybe = st.none() | rates
any_tokens = st.builds(Tokens, **dict.fromkeys(Tokens.__struct_fields__, counts))
any_rates = st.builds(
    Rates,
    **{field.name: rates if field.default == 0 else maybe for field in msgspec.structs.fields(Rates) if field.name != "version"},
)


@given(any_tokens, any_rates)
def test_bill_adds_up_to_the_cost(tokens: Tokens, prices: Rates) -> None:
    """To the pico-dollar, and no line is of nothing."""
    lines = lines_of(tokens, prices)
    assert sum(line.pico for line in lines) == cost_pico(tokens, prices)
    assert all(line.quantity > 0 for line in lines)


def test_bill_names_each_part_with_its_price() -> None:
    lines = lines_of(Tokens(1_000, 500, cached=400, reasoning=100), Rates(150_000, 600_000, cached=75_000))
    said = [(line.name, line.quantity, line.price, line.amount) for line in lines]
    assert said == [
        ("prompt, read from a cache", 400, "$0.075 / M", "0.00003"),
        ("prompt", 600, "$0.15 / M", "0.00009"),
        ("completion, reasoning", 100, "$0.60 / M", "0.00006"),
        ("completion", 400, "$0.60 / M", "0.00024"),
    ]


def test_pico_dollars_are_exact() -> None:
    assert [pico_dollars(each) for each in (0, 1, 10**12, 1_500_000_000_000)] == ["0.00", "0.000000000001", "1.00", "1.50"]
