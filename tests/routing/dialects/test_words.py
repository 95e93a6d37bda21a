"""The words of each provider's family: why an answer ended, what an error is called, and what is billed beside tokens."""

import json

import msgspec
import pytest

from routing.dialects import anthropic, bedrock, cohere, gemini
from routing.dialects.cohere import Units, billed_in
from routing.wire.members import decode_members

CHAT_FINISH = {"stop", "length", "tool_calls", "content_filter", "error"}


def test_every_end_is_one_that_chats_clients_know() -> None:
    """And each family can say that an answer was whole, and that it was cut."""
    for finish in (anthropic.FINISH, bedrock.FINISH, cohere.FINISH, gemini.FINISH):
        assert set(finish.values()) <= CHAT_FINISH
        assert {"stop", "length"} <= set(finish.values())


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *((reason, "content_filter") for reason in sorted(gemini.FILTERED)),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("OTHER", "error"),
        ("", "error"),
    ],
)
def test_end_of_googles_answer(reason: str, finish: str) -> None:
    """What was filtered says so; what is no answer is an error, whatever Google calls it next year."""
    assert gemini.finish_of(reason) == finish


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (499, "invalid_request_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_error_in_anthropics_words(status: int, word: str) -> None:
    """A status that has no word of its own is the caller's fault below 500, and ours from there on."""
    assert anthropic.error_type(status) == word


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (b'{"input_tokens":1,"output_tokens":2}', b'{"input_tokens":1,"output_tokens":2}'),
        (b'{"input_tokens":1,"total_tokens":3}', b'{"input_tokens":1,"total_tokens":null}'),
        (b'{ "total_tokens" : 3, "x": [1] }', b'{ "total_tokens" : null, "x": [1] }'),
        (b'{"a":"\\"total_tokens\\""}', b'{"a":"\\"total_tokens\\""}'),
        (b'["total_tokens"]', b'["total_tokens"]'),
        (b'{"total_tokens":3', b'{"total_tokens":3'),
    ],
)
def test_total_in_anthropics_usage_is_taken_out(usage: bytes, expected: bytes) -> None:
    """It has none; and what is no object stays as it came."""
    assert anthropic.without_total(usage) == expected


@pytest.mark.parametrize(
    ("answer", "units"),
    [
        ({"meta": {"billed_units": {"search_units": 2}}}, Units(search_units=2)),
        ({"meta": {"billed_units": {"input_tokens": 5, "image_tokens": 3}}}, Units(input_tokens=5, image_tokens=3)),
        ({"meta": {"billed_units": {"search_units": "two"}}}, Units(search_units="two")),
        ({"meta": {}}, None),
        ({"meta": {"billed_units": 2}}, None),
        ({"meta": "x"}, None),
        ({}, None),
    ],
)
def test_cohere_says_what_it_bills_beside_an_answer(answer: dict[str, object], units: Units | None) -> None:
    """Units of another kind than agreed are as if they were not told; they never fail the answer."""
    assert billed_in(decode_members(json.dumps(answer).encode())) == units


@pytest.mark.parametrize(
    ("usage", "is_told"),
    [
        ({}, False),
        ({"billed_units": {}}, False),
        ({"billed_units": {"input_tokens": 1}}, True),
        ({"tokens": {"output_tokens": 0}}, True),
        ({"billed_units": {"search_units": 1}}, False),
    ],
)
def test_cohere_usage_is_told_where_it_counts(usage: dict[str, object], is_told: bool) -> None:
    assert msgspec.convert(usage, cohere.Usage).is_told is is_told


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        ({}, ""),
        ({"serviceTier": "flex"}, "flex"),
        ({"serviceTier": "PRIORITY"}, "priority"),
        ({"serviceTier": "standard"}, "default"),
        ({"trafficType": "ON_DEMAND_FLEX"}, "flex"),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, "priority"),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, ""),
        ({"serviceTier": "flex", "trafficType": "ON_DEMAND_PRIORITY"}, "flex"),
    ],
)
def test_tier_that_google_served(said: dict[str, str], tier: str) -> None:
    """In OpenAI's words; what has no price here by that name is as if it were not told."""
    assert msgspec.convert(said, gemini.GeminiUsage).tier == tier
