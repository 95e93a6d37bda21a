"""The worst case that must be held, and what a smaller hold would buy."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.config import parse
from routing.envelope import Envelope, read
from routing.plan import Attempt, Plan, Routes
from routing.reserve import COMPLETION_TOKENS_DEFAULT, COMPLETION_TOKENS_MIN, completion_within, reserve
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
[providers.p.models.dear]
input = "10"
output = "20"
context_tokens = 1000
max_output_tokens = 100
[aliases]
both = ["p/small", "p/dear", "p/small"]
""")


def attempts(model: str) -> tuple[Attempt, ...]:
    plan = Routes(TABLE, frozenset()).plan(model, (), {}, 0.0, 0.0)
    assert isinstance(plan, Plan)
    return plan.attempts


def envelope(content: object = "hi", **members: object) -> Envelope:
    return read(json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **members}).encode())


def test_reserve_of_a_short_prompt_is_bounded_by_its_bytes() -> None:
    """A token is at least one byte; the answer by the model's own cap."""
    request = envelope()
    need = reserve(request, attempts("p/small"))
    assert (need.prompt_max, need.completion_max, need.cap_always) == (request.bytes_total, 100, None)
    assert need.full_nano == worst_case_nano(request.bytes_total, 100, attempts("p/small")[0].rates)
    assert need.least_nano == worst_case_nano(request.bytes_total, COMPLETION_TOKENS_MIN, need.rates)


def test_reserve_of_a_long_prompt_is_bounded_by_the_context() -> None:
    """What does not fit the context the provider refuses."""
    assert reserve(envelope("x" * 5_000), attempts("p/small")).prompt_max == 1_000


def test_reserve_with_the_callers_cap_is_all_or_nothing() -> None:
    """Who asks for so many tokens gets them or a refusal, for each choice."""
    need = reserve(envelope(max_tokens=7, n=3), attempts("p/small"))
    assert (need.completion_max, need.choices, need.full_nano) == (21, 3, need.least_nano)


def test_reserve_of_a_model_without_caps_sends_one() -> None:
    """A model whose table names no cap gets one, so that the cost is bounded."""
    need = reserve(envelope(), attempts("p/open"))
    assert (need.cap_always, need.completion_max) == (COMPLETION_TOKENS_DEFAULT, COMPLETION_TOKENS_DEFAULT)
    assert reserve(envelope(max_tokens=5), attempts("p/open")).cap_always is None


@pytest.mark.parametrize(("model", "bound"), [("p/small", 1_000), ("p/open", 1_000_000)])
def test_reserve_of_media_elsewhere_is_bounded_by_the_context(model: str, bound: int) -> None:
    """Nobody knows what stands behind a URL but that it must fit."""
    request = envelope([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}])
    assert reserve(request, attempts(model)).prompt_max == bound


def test_reserve_of_media_elsewhere_may_be_bounded_by_the_table() -> None:
    """A model that bounds its images needs less held."""
    request = envelope([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}] * 2)
    assert reserve(request, attempts("p/media")).prompt_max == request.bytes_total + 100


def test_reserve_of_a_document_elsewhere_is_not_bounded_like_an_image() -> None:
    """A hundred pages cost more than the dearest image."""
    request = envelope([{"type": "file", "file": {"file_id": "file-1"}}])
    assert reserve(request, attempts("p/media")).prompt_max == 100_000


def test_reserve_over_several_targets_takes_the_dearest() -> None:
    """Whichever of them answers, the hold covers it."""
    need = reserve(envelope(), attempts("both"))
    assert need.full_nano == reserve(envelope(), attempts("p/dear")).full_nano


def test_completion_within_a_hold() -> None:
    """A smaller hold buys fewer tokens, and none when the prompt does not fit."""
    need = reserve(envelope(), attempts("p/small"))
    assert completion_within(need, need.full_nano) == 100
    assert completion_within(need, need.least_nano) == COMPLETION_TOKENS_MIN
    assert completion_within(need, 0) < 0


@given(st.integers(0, 400), st.integers(0, 200), st.integers(1, 4))
def test_reserve_covers_every_generation_within_its_bounds(prompt: int, completion: int, choices: int) -> None:
    """No usage within the bounds costs more than what is held."""
    need = reserve(envelope(max_tokens=200, n=choices), attempts("p/small"))
    tokens = Tokens(prompt=min(prompt, need.prompt_max), completion=min(completion * choices, need.completion_max))
    assert cost_nano(tokens, need.rates) <= need.full_nano


def test_a_reserve_that_forgets_the_choices_would_be_caught() -> None:
    """The wrong variant: holding for one choice of three."""
    need = reserve(envelope(max_tokens=200, n=3), attempts("p/small"))
    wrong_nano = worst_case_nano(need.prompt_max, 200, need.rates)
    assert cost_nano(Tokens(need.prompt_max, 600), need.rates) > wrong_nano
