"""The table in words: what `tollway check` and `tollway explain` say."""

import msgspec
import pytest

from routing.table.config import parse
from routing.table.price_list import PIECES
from routing.views.explanation import describe, explain, prices
from usage.record import Rates

CONFIG = parse(
    """
[providers.p]
base_url = "https://p.example/v1"
api_key = "env:P"
models.m = { input = "0.15", output = "0.60", cached_input = "0.075", request = "0.001" }
[providers.q]
base_url = "https://q.example"
api_key = "env:Q"
unlisted = { input = "1", output = "2" }
[aliases]
any = ["p/m", "q/x", "echo/echo-1"]
"""
)
OFFERED = frozenset({"env:P"})


def test_description() -> None:
    """One line per provider and alias; a provider that is not offered says why."""
    assert describe(CONFIG, OFFERED) == [
        f"table {CONFIG.version}: 3 providers, 1 aliases",
        "  offered      p: https://p.example/v1, 1 models",
        "  not offered  q: https://q.example, 0 models and any other, because Q is not in the environment",
        "  offered      echo: built in, 1 models and any other",
        "  alias        any -> p/m, q/x, echo/echo-1",
    ]


def test_explanation_of_an_alias() -> None:
    """The attempts in order, with address, key's name, price and bounds."""
    lines = explain(CONFIG, OFFERED, "any")
    assert lines[:4] == [
        "any: up to 2 attempts, the next only if the one before cost nothing",
        "  an alias of p/m, q/x, echo/echo-1",
        "  1. m at p, https://p.example/v1, with the key env:P",
        "     $0.15 input, $0.6 output, $0.075 cached input per million tokens, $0.001 per request",
    ]
    assert lines[5] == "  2. echo-1 at echo, built in, without a key"
    assert "context 131072, output at most 16384 tokens" in lines[7]
    assert "when the caller leaves: cancel" in lines[7]


def test_explanation_of_what_is_refused() -> None:
    """A refusal is explained in the words that the caller would read; an unlisted model says so."""
    assert explain(CONFIG, OFFERED, "q/x")[0] == "q/x: refused with 404 provider_not_configured"
    assert "(not listed: the price for any other)" in explain(CONFIG, frozenset({"env:Q"}), "q/x")[2]


def test_prices_are_exact() -> None:
    """Prices finer than a nano-dollar are told exactly, as is every rate that the table has."""
    assert (
        prices(Rates(input=1, output=0, request=1))
        == "$0.000001 input, $0 output per million tokens, $0.000000000001 per request"
    )
    assert "$2 audio output" in prices(Rates(audio_completion=2_000_000))


@pytest.mark.parametrize("name", [name for name in Rates.__struct_fields__ if name not in ("version", "input", "output")])
def test_price_that_there_is_is_told(name: str) -> None:
    """Each of them, pieces too: an edit of one is seen by whoever compares two tables."""
    told = prices(msgspec.structs.replace(Rates(), **{name: 7_000_000}))
    assert ("$7 " in told) is (name not in PIECES and name != "request")
    assert told != prices(Rates()) != prices(msgspec.structs.replace(Rates(), **{name: 8_000_000})) != told
