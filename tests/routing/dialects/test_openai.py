"""Usage in all its accents becomes Tokens in OpenAI's sense."""

import json

import pytest

from routing.dialects.claim import Arithmetic, read_claim
from routing.dialects.counts import counts_of
from routing.dialects.openai import decode_chunk
from routing.metering.bounds import TokenBounds, within
from routing.metering.meter import Meter
from routing.table.tariff import Tariff
from tests.routing import recordings
from usage.record import Rates, Tokens


def tokens_of(usage: bytes, arithmetic: Arithmetic = "auto") -> Tokens | None:
    """What a usage object alone says; a whole that it does not tell is 0."""
    claim = read_claim(usage)
    if claim is None or claim.is_empty:
        return None
    counts = counts_of(claim, arithmetic, TokenBounds())
    return within(counts.prompt or 0, counts.completion or 0, counts.parts, 10)


def counted(**members: object) -> Tokens | None:
    return tokens_of(json.dumps(members).encode())


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}, Tokens(prompt=5, completion=7)),
        ({"prompt_tokens": 5}, Tokens(prompt=5)),
        ({"completion_tokens": 7}, Tokens(completion=7)),
        (
            {"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 1}},
            Tokens(prompt=5, completion=7, cached=3, audio_prompt=1),
        ),
        (
            {"prompt_tokens": 5, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 2}},
            Tokens(prompt=5, completion=7, reasoning=4, audio_completion=2),
        ),
        # DeepSeek, Moonshot and two of Mistral's names for cached tokens.
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4}, Tokens(prompt=9, completion=1, cached=4)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 4}, Tokens(prompt=9, completion=1, cached=4)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "num_cached_tokens": 4}, Tokens(prompt=9, completion=1, cached=4)),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_token_details": {"cached_tokens": 4}},
            Tokens(prompt=9, completion=1, cached=4),
        ),
        # DashScope writes to its cache inside the prompt.
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cache_creation_input_tokens": 6}},
            Tokens(prompt=9, completion=1, cache_write=6),
        ),
        # xAI: reasoning is outside of completion_tokens, and the total tells.
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 1,
                "total_tokens": 303,
                "completion_tokens_details": {"reasoning_tokens": 290},
            },
            Tokens(prompt=12, completion=291, reasoning=290),
        ),
        # xAI: cached tokens outside of the prompt.
        (
            {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 10}},
            Tokens(prompt=13, completion=1, cached=10),
        ),
        # Perplexity: reasoning and citations beside the total.
        (
            {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 12, "reasoning_tokens": 4, "citation_tokens": 3},
            Tokens(prompt=2, completion=10, reasoning=4),
        ),
        # Cohere bills on billed_units, which are floats.
        (
            {"prompt_tokens": 90, "completion_tokens": 9, "billed_units": {"input_tokens": 8.0, "output_tokens": 3.0}},
            Tokens(prompt=8, completion=3),
        ),
        # What the total has more is billed, whatever it is.
        (
            {
                "prompt_tokens": 2,
                "completion_tokens": 3,
                "total_tokens": 50,
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            Tokens(prompt=2, completion=48, reasoning=1),
        ),
        ({"prompt_tokens": -5, "completion_tokens": 7}, Tokens(completion=7)),
        (
            {"prompt_tokens": 5, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 9}},
            Tokens(5, 16, reasoning=9),
        ),
    ],
)
def test_tokens_of_an_accent(usage: dict[str, object], tokens: Tokens) -> None:
    """Each provider's way of counting is read as OpenAI would have said it."""
    assert counted(**usage) == tokens


@pytest.mark.parametrize(
    "usage",
    [b"null", b"{}", b"7", b'"x"', b'{"prompt_tokens":"5"}', b'{"prompt_tokens":0,"completion_tokens":0}', b"[]", b"not json"],
)
def test_tokens_of_what_is_no_usage(usage: bytes) -> None:
    """What carries no possible counts is no usage, and the count is ours."""
    assert tokens_of(usage) is None


def test_tokens_of_a_declared_arithmetic() -> None:
    """Where the table says how a provider counts, the gap is not asked."""
    usage = b'{"prompt_tokens":1,"completion_tokens":2,"total_tokens":7,"completion_tokens_details":{"reasoning_tokens":4}}'
    assert tokens_of(usage, "auto") == Tokens(1, 6, reasoning=4)
    assert tokens_of(usage, "reasoning_excluded") == Tokens(1, 6, reasoning=4)
    assert tokens_of(usage, "reasoning_included") == Tokens(1, 2, reasoning=2)


def test_tokens_of_the_recorded_answers() -> None:
    """Real answers: xAI leaves its reasoning out, the others do not."""
    found = {name: tokens_of(decode_chunk(recordings.answer(name)).any_usage) for name in recordings.ANSWERS}
    assert found["xai-text"] == Tokens(prompt=12, completion=229, cached=2, reasoning=228)
    assert found["deepseek-text"] == Tokens(prompt=13, completion=300)
    assert found["mistral-text"] == Tokens(prompt=13, completion=434)
    assert found["groq-tool-call"] == Tokens(prompt=218, completion=15)
    assert found["perplexity-text"] == Tokens(prompt=11, completion=392)


@pytest.mark.parametrize(
    ("chunk", "usage"),
    [
        (b'{"usage":{"a":1},"x_groq":{"usage":{"b":1}}}', b'{"a":1}'),
        (b'{"usage":null,"x_groq":{"usage":{"b":1}}}', b'{"b":1}'),
        (b'{"x_groq":{"id":"x"},"choices":[{"usage":{"c":1}}]}', b'{"c":1}'),
        (b'{"choices":[{"usage":null}]}', b""),
        (b'{"choices":[]}', b""),
    ],
)
def test_chunk_usage_is_found_wherever_it_sits(chunk: bytes, usage: bytes) -> None:
    """Top level first, then Groq's place, then Kimi's."""
    assert decode_chunk(chunk).any_usage == usage


@pytest.mark.parametrize(
    ("chunk", "has_error"),
    [
        (b'{"error":{"code":1}}', True),
        (b'{"error":"x"}', True),
        (b'{"error":null}', False),
        (b'{"error":{}}', False),
        (b"{}", False),
    ],
)
def test_chunk_error_is_told_from_an_empty_one(chunk: bytes, has_error: bool) -> None:
    """A null or empty error is none."""
    assert decode_chunk(chunk).has_error is has_error


@pytest.mark.parametrize(
    ("chunk", "upstream_id"),
    [(b'{"id":"x"}', "x"), (b"{}", ""), (b'{"id":7}', ""), (b'{"id":null}', ""), (b'{"id":"%b"}' % (b"y" * 300), "y" * 128)],
)
def test_chunk_id_is_a_string_of_bounded_length(chunk: bytes, upstream_id: str) -> None:
    """What is no string is no id; a long one is cut, because it is kept in every record."""
    assert decode_chunk(chunk).upstream_id == upstream_id


@pytest.mark.parametrize(
    ("usage", "lacks"),
    [
        (
            b'{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}',
            b',"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}',
        ),
        (
            b'{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"cached_tokens":4,"reasoning_tokens":1}',
            b',"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}',
        ),
        (
            b'{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"prompt_tokens_details":null,"completion_tokens_details":{}}',
            b"",
        ),
        (b'{"prompt_tokens":1,"completion_tokens":2}', None),
        (b'{"prompt_tokens":1.0,"completion_tokens":2,"total_tokens":3}', None),
        (b'{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3.0}', None),
        (b'{"prompt_tokens":1,"completion_tokens":2,"total_tokens":4}', None),
        (b'{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"cost":0.1}', None),
        (b'{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"usage_source":"me"}', None),
        (b'{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"prompt_tokens_details":{"cached_tokens":9}}', None),
    ],
)
def test_usage_is_completed_and_says_what_we_count(usage: bytes, lacks: bytes | None) -> None:
    """The provider's members stand where they stood; other numbers, and a cost of its own, are replaced."""
    meter = Meter(Tariff(Rates()), 1)
    meter.observe_usage(usage)
    written = meter.usage_json()
    assert (written == usage[:-1] + (lacks or b"") + b',"cost":0}') is (lacks is not None)
    assert json.loads(written)["cost"] == 0


@pytest.mark.parametrize("bad", [b'{"finish_reason":5,"index":1}', b"null", b"7", b'"x"', b"[]"])
def test_choice_of_another_type_voids_itself(bad: bytes) -> None:
    """Its neighbours are read, and so is what of it can be."""
    chunk = decode_chunk(b'{"choices":[%b,{"index":0,"finish_reason":"stop"}]}' % bad)
    assert chunk.choices is not None
    assert [choice.finish_reason for choice in chunk.choices] == [None, "stop"]
