"""What an operator is told of a provider's claims: in the log now and then, in the figures always."""

import logging
from decimal import Decimal

import pytest

from edge.telemetry.claims import WARN_S, Claims
from edge.telemetry.exposition import written
from routing.metering.meter import Bill
from usage.record import Rates, Tokens


def figures(claims: Claims) -> dict[str, str]:
    return dict(line.rstrip("\n").rsplit(" ", 1) for line in lines(claims) if not line.startswith("#"))


def lines(claims: Claims) -> list[str]:
    return [line for family in claims.families() for line in written(family, is_open=False)]


def test_claim_that_cannot_be_is_told_once_a_minute_and_counted_always(caplog: pytest.LogCaptureFixture) -> None:
    """Per provider; what was not told is told as a number the next time."""
    claims = Claims()
    with caplog.at_level(logging.WARNING, logger="tollway.claims"):
        for second in range(100):
            claims.report("a", "5000000 prompt tokens where 80 are possible", float(second))
        claims.report("b", "2 completion tokens for 900 bytes of text", 50.0)
    told = [record.getMessage() for record in caplog.records]
    assert [message.startswith("provider a claims a usage that cannot be (5000000 prompt") for message in told] == [
        True,
        True,
        False,
    ]
    assert told[1].endswith(f"; {int(WARN_S) - 1} more such since the last warning")
    assert figures(claims) == {
        'tollway_usage_bounded_total{provider="a"}': "100",
        'tollway_usage_bounded_total{provider="b"}': "1",
    }


def test_costs_of_both_are_compared_per_model() -> None:
    """What a provider bills and we do not charge is a positive difference, to the nano-dollar; the other way it is negative."""
    claims = Claims()
    rates = Rates(input=1)
    for cost_nano, pico in ((100, 250_500), (100, 250_500), (70, 0)):
        claims.compare("p/m", Bill(Tokens(1), rates, cost_nano, "provider", "", pico))
    claims.compare("p/*", Bill(Tokens(1), rates, 1_000, "provider", "", 1_000))
    found = figures(claims)
    assert Decimal(found['tollway_upstream_cost_dollars_total{model="p/m"}']) * 10**9 == 501
    assert Decimal(found['tollway_upstream_cost_difference_dollars{model="p/m"}']) * 10**9 == 501 - 270
    assert Decimal(found['tollway_upstream_cost_difference_dollars{model="p/*"}']) * 10**9 == 1 - 1_000


def test_model_with_a_quote_in_its_name_breaks_no_exposition() -> None:
    """A label is escaped as Prometheus reads it."""
    claims = Claims()
    claims.compare('p/a"b\\c', Bill(Tokens(1), Rates(), 0, "provider", "", 0))
    assert r'tollway_upstream_cost_dollars_total{model="p/a\"b\\c"} 0' in [line.rstrip("\n") for line in lines(claims)]
