"""The worst case that must be held, and what a smaller hold would buy."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.metering.bounds import TokenBounds
from routing.plan.reserve import (
    COMPLETION_TOKENS_DEFAULT,
    COMPLETION_TOKENS_MIN,
    IMAGE_TOKENS_DEFAULT,
    allowance,
    bounds_of,
    completion_within,
    reserve,
)
from routing.request.envelope import Envelope, read
from routing.table.config import Found, find, parse
from routing.table.provider import Model
from usage.pricing import cost_nano, worst_case_nano
from usage.record import Tokens

TABLE = parse("""
[providers.p]
base_url = "http://127.0.0.1:1/v1"
api_key = "none"
[providers.p.models.small]
input = "1"
output = "2"
request = "0.001"
context_tokens = 1000
max_output_tokens = 100
[providers.p.models.open]
input = "1"
output = "2"
[providers.p.models.media]
input = "1"
output = "2"
context_tokens = 100_000
max_output_tokens = 100
image_tokens_max = 50
[providers.p.models.window]
input = "1"
output = "2"
context_tokens = 1000
[providers.p.models.steep]
input = "1"
output = "2"
search = "0.01"
above_1k = { input = "2", output = "4" }
max_output_tokens = 100
[providers.p.models.tiers]
input = "1"
output = "2"
tiers = { flex = { input = "0.5", output = "1" }, priority = { input = "5", output = "10" } }
max_output_tokens = 100
""")


def model(name: str) -> Model:
    found = find(TABLE, name)
    assert isinstance(found, Found)
    return found.model


def envelope(content: object = "hi", **members: object) -> Envelope:
    return read(json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **members}).encode())


def test_reserve_of_a_short_prompt_is_bounded_by_its_bytes() -> None:
    """A token is at least one byte; the answer by the model's own cap."""
    request = envelope()
    need = reserve(request, model("p/small"))
    assert (need.prompt_max, need.completion_max, need.cap_always) == (request.bytes_total, 100, None)
    assert need.full_nano == worst_case_nano(request.bytes_total, 100, model("p/small").rates)
    assert need.least_nano == worst_case_nano(request.bytes_total, COMPLETION_TOKENS_MIN, need.rates[0])


def test_reserve_of_a_long_prompt_is_bounded_by_the_context() -> None:
    """What does not fit the context the provider refuses."""
    assert reserve(envelope("x" * 5_000), model("p/small")).prompt_max == 1_000


def test_reserve_with_the_callers_cap_is_all_or_nothing() -> None:
    """Who asks for so many tokens gets them or a refusal, for each choice."""
    need = reserve(envelope(max_tokens=7, n=3), model("p/small"))
    assert (need.completion_max, need.choices, need.full_nano) == (21, 3, need.least_nano)


def test_reserve_of_a_model_without_caps_sends_one() -> None:
    """A model whose table names no cap gets one, so that the cost is bounded."""
    need = reserve(envelope(), model("p/open"))
    assert (need.cap_always, need.completion_max) == (COMPLETION_TOKENS_DEFAULT, COMPLETION_TOKENS_DEFAULT)
    assert reserve(envelope(max_tokens=5), model("p/open")).cap_always is None


@pytest.mark.parametrize(("name", "bound"), [("p/small", 1_000), ("p/open", IMAGE_TOKENS_DEFAULT + 123)])
def test_reserve_of_an_image_elsewhere_is_bounded_by_the_context_and_a_default(name: str, bound: int) -> None:
    """A picture that nobody has seen is no whole window: it is what the families that take the largest ones allow."""
    request = envelope([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}])
    assert request.bytes_total == 123
    assert reserve(request, model(name)).prompt_max == bound


def test_reserve_of_media_elsewhere_may_be_bounded_by_the_table() -> None:
    """A model that bounds its images needs less held."""
    request = envelope([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}] * 2)
    assert reserve(request, model("p/media")).prompt_max == request.bytes_total + 100


def test_reserve_of_a_document_elsewhere_is_not_bounded_like_an_image() -> None:
    """A hundred pages cost more than the dearest image."""
    request = envelope([{"type": "file", "file": {"file_id": "file-1"}}])
    assert reserve(request, model("p/media")).prompt_max == 100_000


def test_reserve_with_a_cap_above_the_models_own_is_for_the_models_own() -> None:
    """No answer is longer than the model gives, whatever was asked for; and where that is unknown, than its window."""
    assert reserve(envelope(max_tokens=10**9), model("p/small")).completion_max == 100
    assert reserve(envelope(max_tokens=10**9, n=2), model("p/window")).completion_max == 2_000
    assert reserve(envelope(max_tokens=10**9), model("p/open")).completion_max == 10**9


def test_reserve_takes_the_dearest_price_that_may_apply() -> None:
    """The tier that was asked for, and beyond a threshold only if the prompt may be longer than it."""
    plain, long = envelope("hi"), envelope("x" * 1_100)
    steep, tiers = model("p/steep"), model("p/tiers")
    assert [each.input for each in reserve(plain, steep).rates] == [1_000_000]
    assert [each.input for each in reserve(long, steep).rates] == [1_000_000, 2_000_000]
    assert reserve(long, steep).full_nano == worst_case_nano(long.bytes_total, 100, steep.tariff.above[0].rates)
    fast = envelope("hi", service_tier="priority")
    assert [each.input for each in reserve(fast, tiers).rates] == [1_000_000, 5_000_000]
    assert [each.input for each in reserve(envelope("hi", service_tier="flex"), tiers).rates] == [1_000_000, 500_000]


def test_reserve_of_a_search_and_of_a_prediction() -> None:
    """What is billed beside the answer is held too."""
    steep = model("p/steep")
    request = envelope("hi", web_search_options={})
    assert reserve(request, steep).full_nano - worst_case_nano(request.bytes_total, 100, steep.rates) == 5 * 10_000_000
    most = envelope("hi", search_parameters={"max_search_results": 2})
    assert reserve(most, steep).full_nano - worst_case_nano(most.bytes_total, 100, steep.rates) == 2 * 10_000_000
    guess = {"type": "content", "content": "x" * 50}
    assert reserve(envelope("hi", max_tokens=5, prediction=guess), steep).completion_max == 5 + len(json.dumps(guess))
    assert reserve(envelope("hi", max_tokens=5, n=2, prediction=guess), steep).completion_max == 2 * (5 + len(json.dumps(guess)))
    assert reserve(envelope("hi", max_tokens=5, thinking={"type": "enabled", "budget_tokens": 70}), steep).completion_max == 75


def test_allowance_of_a_hold() -> None:
    """All of it, or what a smaller hold buys, as a cap for each choice."""
    need = reserve(envelope(n=2), model("p/small"))
    assert allowance(need, need.full_nano) == (200, None)
    assert allowance(need, need.least_nano) == (2 * COMPLETION_TOKENS_MIN, COMPLETION_TOKENS_MIN)
    always = reserve(envelope(), model("p/open"))
    assert allowance(always, always.full_nano) == (COMPLETION_TOKENS_DEFAULT, COMPLETION_TOKENS_DEFAULT)


def test_completion_within_a_hold() -> None:
    """A smaller hold buys fewer tokens, and none when the prompt does not fit."""
    need = reserve(envelope(), model("p/small"))
    assert completion_within(need, need.full_nano) == 100
    assert completion_within(need, need.least_nano) == COMPLETION_TOKENS_MIN
    assert completion_within(need, 0) < 0


@given(st.integers(0, 400), st.integers(0, 200), st.integers(1, 4))
def test_reserve_covers_every_generation_within_its_bounds(prompt: int, completion: int, choices: int) -> None:
    """No usage within the bounds costs more than what is held."""
    need = reserve(envelope(max_tokens=200, n=choices), model("p/small"))
    tokens = Tokens(prompt=min(prompt, need.prompt_max), completion=min(completion, 100) * choices)
    assert cost_nano(tokens, need.rates[0]) <= need.full_nano


PRICED = (
    parse("""
[providers.p]
base_url = "http://127.0.0.1:1/v1"
api_key = "none"
[providers.p.models.pictures]
input = "1"
output = "2"
image = "0.04"
second = "0.0001"
character = "0.000015"
search = "0.01"
request = "0.001"
max_output_tokens = 100
tiers = { priority = { input = "2", output = "4", image = "0.08" } }
""")
    .providers["p"]
    .models["pictures"]
)


@pytest.mark.parametrize("tier", ["", "priority"])
@pytest.mark.parametrize(
    "pieces",
    [Tokens(), Tokens(images=3), Tokens(seconds=61), Tokens(characters=4_096), Tokens(searches=2), Tokens(images=1, seconds=1)],
)
def test_reserve_covers_what_is_priced_by_the_piece(pieces: Tokens, tier: str) -> None:
    """The most of each, beside the tokens, at the dearest price that may apply; it has no smaller answer, so no cap is sent."""
    asked = msgspec.structs.replace(envelope("draw", service_tier=tier) if tier else envelope("draw"), pieces=pieces)
    need = reserve(asked, PRICED)
    assert need.full_nano == need.least_nano
    assert need.cap_always is None
    used = msgspec.structs.replace(pieces, prompt=need.prompt_max, completion=need.completion_max)
    costs = [cost_nano(used, rates) for rates in need.rates]
    assert max(costs) <= need.full_nano <= max(costs) + 1
    assert len(costs) == (2 if tier else 1)


def test_reserve_of_what_is_free_holds_nothing() -> None:
    """A count of a prompt, a verdict: who has nothing may ask."""
    need = reserve(msgspec.structs.replace(envelope("hi"), pieces=Tokens(), is_free=True), PRICED)
    assert (need.full_nano, need.least_nano, need.prompt_max, need.completion_max) == (0, 0, 0, 0)


@pytest.mark.parametrize(("searches", "least"), [(0, 0), (1, 1), (3, 1)])
def test_bounds_of_a_claim_are_those_of_the_hold(searches: int, least: int) -> None:
    """What a provider may say that it searched is what was held for."""
    need = msgspec.structs.replace(reserve(envelope("hi"), model("p/small")), searches_max=searches)
    assert bounds_of(need, 7) == (
        TokenBounds(need.prompt_max, 7, searches, searches) if searches else TokenBounds(need.prompt_max, 7)
    )
    assert need.searches_min == least
