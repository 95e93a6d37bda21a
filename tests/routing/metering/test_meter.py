"""Counting, and the usage that the caller reads."""

import json
from decimal import Decimal
from typing import Any

import pytest

from routing.metering.bounds import TokenBounds
from routing.metering.meter import MEDIA_TOKENS, Meter, estimate, estimate_prompt
from routing.request.envelope import Envelope
from routing.table.provider import Model
from routing.table.tariff import Tariff
from usage.record import Rates, Tokens

RATES = Rates(input=150_000, cached=75_000, output=600_000)


def usage_of(meter: Meter) -> Any:
    return json.loads(meter.usage_json(), parse_float=Decimal)


def test_estimate_is_a_quarter_of_the_bytes() -> None:
    """At least one token, rounded up."""
    assert [estimate(size) for size in (0, 1, 4, 5, 400)] == [1, 1, 1, 2, 100]


@pytest.mark.parametrize(
    ("envelope", "tokens"),
    [
        (Envelope("m", {}, 900, prompt_bytes=400), 100),
        (Envelope("m", {}, 4_000_900, prompt_bytes=4_000_400, inline_media=(4_000_000,)), 100 + 1_000),
        (Envelope("m", {}, 900, prompt_bytes=400, inline_media=(40,)), 90 + 10),
        (Envelope("m", {}, 900, prompt_bytes=400, remote_images=1, remote_others=1), 100 + 2 * 1_000),
        (Envelope("m", {}, 900_000, prompt_bytes=800_000), 128_000),
    ],
)
def test_prompt_estimate_takes_an_image_for_an_image(envelope: Envelope, tokens: int) -> None:
    """Its bytes are no text; no prompt is larger than the window."""
    model = Model("p/m", "m", Tariff(RATES), context_tokens=128_000, image_tokens_max=1_000)
    assert estimate_prompt(envelope, model) == tokens


def test_prompt_estimate_of_media_of_unknown_cost_is_bounded() -> None:
    """Neither the bytes of a photograph nor nothing."""
    envelope = Envelope("m", {}, 0, prompt_bytes=1_000_400, inline_media=(1_000_000,), remote_images=1)
    assert estimate_prompt(envelope, Model("p/m", "m", Tariff(RATES))) == 100 + 2 * MEDIA_TOKENS


def test_meter_without_usage_counts_and_says_so() -> None:
    """Our count is the larger of deltas and a quarter of the text."""
    meter = Meter(Tariff(RATES), 10)
    for _ in range(3):
        meter.observe_text(b'{"delta":{"content":"a"}}')
    assert (meter.tokens, meter.source, meter.has_usage) == (Tokens(prompt=10, completion=3), "counted", False)
    meter.observe_text(b'{"delta":{"content":"' + b"x" * 100 + b'"}}')
    assert meter.completion_counted == 26
    usage = usage_of(meter)
    assert (usage["usage_source"], usage["completion_tokens"], usage["total_tokens"]) == ("counted", 26, 36)
    assert usage["cost"] == Decimal("0.0000171")


@pytest.mark.parametrize(
    ("event", "size"),
    [
        (b'{"content":"ab\\"c"}', 5),
        (b'{"reasoning_content":"abc"}', 3),
        (b'{"reasoning":"abc"}', 3),
        (b'{"function":{"arguments":"{\\"a\\":1}"}}', 9),
        (b'{"content": "abc"}', 3),
        (b'{"content":null,"role":"assistant"}', 0),
        (b'{"content":""}', 0),
        (b'{"reasoning":"abc","reasoning_details":[{"type":"reasoning.text","text":"abc","format":"x","index":0}]}', 3),
        (b'{"reasoning":"ab]\\"c","reasoning_details":[{"text":"ab]"},{"text":"\\"c"}],"content":"de"}', 8),
        (b'{"reasoning":"","reasoning_details":[{"text":"abc"}],"content":""}', 3),
        (b'{"reasoning":"abc","reasoning_content":"abc","content":"abc"}', 6),
        (b'[{"reasoning":"abc","content":"d"},{"reasoning":"abc","reasoning_details":[{"text":"abc"}]}]', 7),
        (b'{"reasoning_details":[{"type":"reasoning.encrypted","data":"abc"}],"content":[{"text":"abc"},{"text":"abc"}]}', 6),
    ],
)
def test_meter_counts_text_of_every_kind(event: bytes, size: int) -> None:
    """Answers, reasoning and arguments are all produced text; an empty delta is no token; a thought that is told twice is one."""
    meter = Meter(Tariff(RATES), 1)
    meter.observe_text(event)
    assert (meter.text_bytes, meter.deltas) == (size, int(size > 0))


def test_meter_keeps_the_last_usage() -> None:
    """Cumulative usage replaces, it is never summed; something unreadable changes nothing."""
    meter = Meter(Tariff(RATES), 1)
    meter.observe_usage(b'{"prompt_tokens":1,"completion_tokens":1}')
    meter.observe_usage(b'{"prompt_tokens":1,"completion_tokens":5}')
    meter.observe_usage(b'{"prompt_tokens":"many"}')
    assert meter.tokens == Tokens(prompt=1, completion=5)
    assert meter.source == "provider"


def test_meter_usage_keeps_the_providers_own_members() -> None:
    """What a provider tells beside the counts reaches the caller, with the cost in dollars; its own cost does not."""
    meter = Meter(Tariff(RATES), 1)
    meter.observe_usage(b'{"queue_time":0.1,"prompt_tokens":4,"completion_tokens":2,"total_tokens":6,"cost":{"total":9}}')
    usage = usage_of(meter)
    assert usage["queue_time"] == Decimal("0.1")
    assert usage["cost"] == Decimal("0.0000018")
    assert "usage_source" not in usage
    assert list(usage).count("cost") == 1
    assert meter.usage_json().count(b'"cost":') == 1


@pytest.mark.parametrize("empty", [b"{}", b'{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}'])
def test_meter_usage_outlives_an_empty_one(empty: bytes) -> None:
    """A provider that sends an empty object behind its usage takes no member of it back."""
    meter = Meter(Tariff(RATES), 1)
    meter.observe_usage(b'{"queue_time":0.1,"prompt_tokens":4,"completion_tokens":2,"total_tokens":6}')
    meter.observe_usage(empty)
    assert usage_of(meter)["queue_time"] == Decimal("0.1")


def test_meter_usage_is_in_openais_sense_whatever_the_provider_said() -> None:
    """Reasoning that was left out is put in, so that counts times prices give the cost."""
    meter = Meter(Tariff(RATES), 1)
    details = b'{"reasoning_tokens": 290}'
    meter.observe_usage(
        b'{"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 303, "completion_tokens_details": %b}' % details
    )
    usage = usage_of(meter)
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (12, 291, 303)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 290
    assert usage["cost"] * 10**12 == 12 * 150_000 + 291 * 600_000


def test_meter_usage_of_cached_tokens_costs_less() -> None:
    """The discount of the table is the caller's."""
    meter = Meter(Tariff(RATES), 1)
    meter.observe_usage(b'{"prompt_tokens":10,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":8}}')
    assert meter.cost_nano() == -(-(2 * 150_000 + 8 * 75_000) // 1000)
    assert usage_of(meter)["cost"] * 10**9 == meter.cost_nano()


def test_meter_usage_of_a_large_cost_keeps_its_last_digits() -> None:
    """Dollars as a float would lose them."""
    meter = Meter(Tariff(Rates(input=999_999_937, output=1)), 1)
    meter.observe_usage(b'{"prompt_tokens":1000000000007,"completion_tokens":1}')
    exact = usage_of(meter)["cost"]
    assert exact * 10**9 == meter.cost_nano()


def test_meter_that_turns_to_another_provider_charges_its_rates() -> None:
    """What was observed of the last one, and a cost that was worked out before, does not outlive the turn."""
    meter = Meter(Tariff(RATES), 1)
    meter.observe_usage(b'{"prompt_tokens":10,"completion_tokens":0}')
    before = meter.cost_nano()
    meter.turn_to(Tariff(Rates(input=RATES.input * 3)), "auto")
    assert not meter.has_usage
    meter.observe_usage(b'{"prompt_tokens":10,"completion_tokens":0}')
    assert meter.cost_nano() == 3 * before
    meter.observe_usage(b'{"prompt_tokens":20,"completion_tokens":0}')
    assert meter.cost_nano() == 6 * before


TIERED = Tariff(RATES, tiers={"flex": Tariff(Rates(input=75_000, output=300_000))})


def test_rates_that_are_expected_are_those_of_the_tier_that_was_asked_for() -> None:
    """And of the prompt as it is estimated: what is known before the answer."""
    assert Meter(TIERED, 10, asked_tier="flex").expected_rates.input == 75_000
    assert Meter(TIERED, 10).expected_rates.input == 150_000


@pytest.mark.parametrize(("estimate_of_prompt", "prompt_max", "charged"), [(10, 50, 10), (80, 50, 50)])
def test_prompt_that_may_have_been_read_is_charged_as_it_is_estimated(
    estimate_of_prompt: int, prompt_max: int, charged: int
) -> None:
    """Within what it can be, and no search of the web for a request that came to nothing."""
    meter = Meter(Tariff(RATES), estimate_of_prompt, bounds=TokenBounds(prompt_max), searches_min=1)
    bill = meter.bill_prompt()
    assert (bill.tokens, bill.source, bill.cost_nano) == (Tokens(prompt=charged), "estimated", charged * 150)


@pytest.mark.parametrize(("told", "charged"), [(0, 1), (1, 1), (3, 3)])
def test_search_that_was_asked_for_is_charged_once_at_least(told: int, charged: int) -> None:
    """Where the provider does not say how often it searched."""
    meter = Meter(Tariff(Rates(search=10_000_000)), 10, searches_min=1)
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "server_tool_use": {"web_search_requests": told}}
    meter.observe_usage(json.dumps(usage).encode())
    assert (meter.tokens.searches, meter.cost_nano()) == (charged, charged * 10_000)


def test_cache_write_that_the_provider_splits_keeps_its_lives() -> None:
    """Whatever the request asked for."""
    meter = Meter(Tariff(RATES), 10, cache_life="12h")
    parts = b'{"cache_write_tokens":8,"cache_write_tokens_details":{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":3}}'
    meter.observe_usage(b'{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11,"prompt_tokens_details":%b}' % parts)
    assert meter.tokens == Tokens(10, 1, cache_write=8, cache_write_1h=3)


def test_usage_source_is_ours_to_tell() -> None:
    """A provider that is another proxy tells its own: it does not stand in the way of ours."""
    meter = Meter(Tariff(RATES), 10)
    meter.observe_usage(b'{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,"usage_source":"counted"}')
    assert "usage_source" not in usage_of(meter)
    counted = Meter(Tariff(RATES), 10)
    counted.observe_usage(b'{"usage_source":"provider","prompt_tokens":3}')
    assert usage_of(counted)["usage_source"] == "counted"


@pytest.mark.parametrize(
    ("details", "told"),
    [(b"null", None), (b"{}", {}), (b"5", {"cached_tokens": 0}), (b'{"cached_tokens":0,"x":1}', {"cached_tokens": 0, "x": 1})],
)
def test_details_that_say_nothing_stay_as_they_are(details: bytes, told: Any) -> None:
    """What is no object is replaced by one."""
    meter = Meter(Tariff(RATES), 10)
    meter.observe_usage(b'{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,"prompt_tokens_details":%b}' % details)
    assert usage_of(meter)["prompt_tokens_details"] == told


def test_pieces_are_nothing_where_none_are_priced() -> None:
    meter = Meter(Tariff(RATES), 10)
    meter.observe_pieces(seconds=5)
    assert meter.tokens.seconds == 0
