"""What a provider says in its own format is charged as if it had said it in Chat's: every format, every kind of claim.

The request as in tests/routing/metering/test_claims.py; each answer has 40 bytes of text, 10 tokens by our count.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from routing.dialects.anthropic import AnthropicUsage, without_total
from routing.dialects.bedrock import BedrockUsage
from routing.dialects.chat_usage import ChatUsage
from routing.dialects.claim import Arithmetic
from routing.dialects.cohere import Usage as CohereUsage
from routing.dialects.gemini import GeminiUsage
from routing.dialects.responses import Usage as ResponsesUsage
from routing.dialects.responses import chat_usage
from routing.metering.bounds import TokenBounds
from routing.rewrite import gemini, plain
from tests.routing.metering.test_claims import WORDS, meter_after
from usage.record import COUNT_MAX, Tokens, UsageSource

Read = Callable[[dict[str, Any]], ChatUsage]
FORMATS: dict[str, tuple[Read, tuple[str, str, str]]] = {
    "messages": (lambda told: msgspec.convert(told, AnthropicUsage).chat, ("input_tokens", "output_tokens", "")),
    "responses": (
        lambda told: chat_usage(msgspec.convert(told, ResponsesUsage), None),
        ("input_tokens", "output_tokens", "total_tokens"),
    ),
    "gemini": (
        lambda told: msgspec.convert(told, GeminiUsage).chat,
        ("promptTokenCount", "candidatesTokenCount", "totalTokenCount"),
    ),
    "converse": (lambda told: msgspec.convert(told, BedrockUsage).chat, ("inputTokens", "outputTokens", "totalTokens")),
    "cohere": (lambda told: msgspec.convert({"billed_units": told}, CohereUsage).chat, ("input_tokens", "output_tokens", "")),
}
VOID = object()
Claimed = tuple[object, object, object]
CLAIMS: list[tuple[str, Claimed, tuple[int, int], UsageSource]] = [
    ("whole numbers", (20, 12, 32), (20, 12), "provider"),
    ("floats, as Cohere's schema has them", (20.0, 12.0, 32.0), (20, 12), "provider"),
    ("texts", ("20", "12", "32"), (100, 10), "counted"),
    ("booleans", (True, True, True), (100, 10), "counted"),
    ("completion of -35", (20, -35, -15), (20, 10), "counted"),
    ("prompt of -1", (-1, 12, 11), (100, 12), "estimated"),
    ("completion null", (20, None, None), (20, 10), "counted"),
    ("completion missing", (20, VOID, VOID), (20, 10), "counted"),
    ("prompt missing", (VOID, 12, VOID), (100, 12), "estimated"),
    ("prompt zero", (0, 12, 12), (100, 12), "estimated"),
    ("nothing", (VOID, VOID, VOID), (100, 10), "counted"),
    ("zeros", (0, 0, 0), (100, 10), "counted"),
    ("a prompt that cannot be", (5_000_000, 12, 5_000_012), (400, 12), "bounded"),
    ("a completion that cannot be", (20, 1_000_000, 1_000_020), (20, 200), "bounded"),
    ("2^70", (2**70, 2**70, 2**71), (400, 200), "bounded"),
    ("no more text than its claim", (20, 3, 23), (20, 3), "provider"),
]
TOTALS: list[tuple[str, Claimed, tuple[int, int], UsageSource]] = [
    ("thinking that only the total has", (20, 12, 732), (20, 712), "provider"),
    ("a total that cannot be", (20, 12, 10**9), (20, 12), "bounded"),
    ("completion null, told by the total", (20, None, 65), (20, 45), "provider"),
    ("completion of -35, told by the total", (20, -35, 65), (20, 45), "provider"),
    ("prompt missing, told by the total", (VOID, 12, 65), (53, 12), "provider"),
    ("prompt null, told by the total", (None, 12, 65), (53, 12), "provider"),
    ("only a total", (VOID, VOID, 165), (100, 65), "estimated"),
    ("a total that is too small", (20, 12, 5), (20, 12), "provider"),
    ("a total that is a text", (20, 12, "32"), (20, 12), "provider"),
]
CASES = [(name, form, *case) for form in FORMATS for name, *case in CLAIMS] + [
    (name, form, *case) for form in ("responses", "gemini", "converse") for name, *case in TOTALS
]


@pytest.mark.parametrize(("name", "form", "claimed", "wholes", "source"), CASES, ids=[f"{case[1]}-{case[0]}" for case in CASES])
def test_claim_costs_the_same_in_every_format(
    name: str, form: str, claimed: Claimed, wholes: tuple[int, int], source: UsageSource
) -> None:
    """What is missing is missing, and not zero; what only the total tells is charged; what cannot be is bounded."""
    read, names = FORMATS[form]
    told = {key: value for key, value in zip(names, claimed, strict=True) if key and value is not VOID}
    meter = meter_after(40, read(told).json.decode())
    bill = meter.bill()
    assert ((bill.tokens.prompt, bill.tokens.completion), bill.source) == (wholes, source)
    assert bool(bill.fault) is (source == "bounded")


@pytest.mark.parametrize(
    ("claim", "wholes"),
    [
        ('{"prompt_tokens":20,"total_tokens":50,"completion_tokens_details":{"reasoning_tokens":30}}', (20, 30)),
        ('{"prompt_tokens":20,"completion_tokens":null,"total_tokens":311,"reasoning_tokens":290}', (20, 291)),
        ('{"completion_tokens":1,"total_tokens":311,"completion_tokens_details":{"reasoning_tokens":290}}', (20, 291)),
        ('{"completion_tokens":12,"total_tokens":65,"prompt_tokens_details":{"cached_tokens":40}}', (53, 12)),
        ('{"prompt_tokens":20,"completion_tokens_details":{"reasoning_tokens":150}}', (20, 150)),
        ('{"prompt_tokens":20,"completion_tokens_details":{"reasoning_tokens":1000000}}', (20, 200)),
        ('{"completion_tokens":12,"prompt_tokens_details":{"cached_tokens":150}}', (150, 12)),
        ('{"completion_tokens":12,"prompt_tokens_details":{"cached_tokens":1000000}}', (400, 12)),
        ('{"prompt_tokens":20,"output_tokens":12}', (20, 12)),
        ('{"input_tokens":20,"completion_tokens":12}', (20, 12)),
        ('{"prompt_tokens":-1,"input_tokens":20,"completion_tokens":-1,"output_tokens":12}', (20, 12)),
        ('{"prompt_tokens":50,"input_tokens":50,"completion_tokens":12,"cache_read_input_tokens":30}', (50, 12)),
    ],
)
@pytest.mark.parametrize("arithmetic", ["auto", "reasoning_excluded"])
def test_whole_that_is_not_told_is_taken_from_what_is(claim: str, wholes: tuple[int, int], arithmetic: Arithmetic) -> None:
    """From the total, the parts, or under the other name; no token of it counts twice."""
    tokens = meter_after(40, claim, arithmetic=arithmetic).tokens
    assert (tokens.prompt, tokens.completion) == wholes


@pytest.mark.parametrize("total", [165, 100_000, 2**60])
def test_stream_that_tells_its_total_only_is_charged_for_it(total: int) -> None:
    """What is hidden in it is charged, within what can be; a total from before the text is no claim about it."""
    bill = meter_after(40, f'{{"total_tokens":{total}}}').bill()
    charged = (100, 65, "estimated", False) if total == 165 else (100, 10, "bounded", True)
    assert (bill.tokens.prompt, bill.tokens.completion, bill.source, bool(bill.fault)) == charged
    stale = meter_after('{"total_tokens":101}', *WORDS).bill()
    assert (stale.tokens, stale.source) == (Tokens(100, 200), "counted")


def test_cache_of_a_prompt_that_is_not_told_was_read() -> None:
    """At least so many tokens of prompt there were, in Anthropic's words and in Bedrock's."""
    anthropic = AnthropicUsage(cache_read_input_tokens=150, cache_creation_input_tokens=50, output_tokens=12)
    bedrock = BedrockUsage(cache_read_input_tokens=150, cache_write_input_tokens=50, output_tokens=12)
    for told in (anthropic.chat, bedrock.chat):
        assert meter_after(40, told.json.decode()).tokens == Tokens(200, 12, cached=150, cache_write=50)


def test_zeros_behind_a_good_usage_take_nothing_back() -> None:
    """Of a stream in Anthropic's words and in Google's: what was told first stays, and what is new is added."""
    anthropic = AnthropicUsage(input_tokens=20, cache_read_input_tokens=100, output_tokens=1)
    anthropic.merge(AnthropicUsage(input_tokens=0, cache_read_input_tokens=100, output_tokens=12))
    assert meter_after(40, anthropic.chat.json.decode()).tokens == Tokens(120, 12, cached=100)
    anthropic.merge(AnthropicUsage(input_tokens=0, output_tokens=0))
    assert meter_after(40, anthropic.chat.json.decode()).tokens == Tokens(120, 12, cached=100)
    google = GeminiUsage(prompt_token_count=20, total_token_count=20)
    google.merge(GeminiUsage(candidates_token_count=12, thoughts_token_count=30, total_token_count=62))
    assert meter_after(40, google.chat.json.decode()).tokens == Tokens(20, 42, reasoning=30)
    google.merge(GeminiUsage(prompt_token_count=0, candidates_token_count=0, total_token_count=0))
    assert meter_after(40, google.chat.json.decode()).tokens == Tokens(20, 42, reasoning=30)


def test_thoughts_without_an_answer_are_charged() -> None:
    """Google leaves out the count of an answer that has none; older models count their thoughts in the total only."""
    assert meter_after(GeminiUsage(20, thoughts_token_count=30).chat.json.decode()).tokens == Tokens(20, 30, reasoning=30)
    told = GeminiUsage(20, thoughts_token_count=30, total_token_count=50)
    assert meter_after(told.chat.json.decode()).tokens == Tokens(20, 30, reasoning=30)


def test_count_beyond_all_counts_is_the_most_that_is_kept() -> None:
    """It is a claim all the same, so that it is bounded and told to the operator."""
    assert ChatUsage(COUNT_MAX, 1).json == AnthropicUsage(input_tokens=2**50, output_tokens=1).chat.json


def test_bad_member_of_googles_usage_spoils_no_other() -> None:
    """Details that are no list, a tier that is no text."""
    meter = meter_after(40)
    told = b'{"promptTokenCount":20,"candidatesTokenCount":12,"totalTokenCount":32,"promptTokensDetails":{},"serviceTier":7}'
    gemini.observe(Raw(told), meter)
    assert (meter.tokens, meter.source) == (Tokens(20, 12), "provider")


@pytest.mark.parametrize("total", ["132", "32", '"x"', "null"])
def test_total_in_anthropics_usage_does_not_hide_the_cache(total: str) -> None:
    """Anthropic has none; whoever adds one may leave out of it what went through the cache."""
    meter = meter_after(40)
    usage = f'{{"input_tokens":20,"output_tokens":12,"total_tokens":{total},"cache_read_input_tokens":100}}'
    meter.observe_usage(without_total(usage.encode()))
    assert meter.tokens == Tokens(120, 12, cached=100)


@pytest.mark.parametrize(
    "more", [b"", b',"completion_tokens":null', b',"completion_tokens":0', b',"prompt_tokens":null,"output_tokens":null']
)
def test_vectors_whose_usage_is_a_total_are_charged_for_it(more: bytes) -> None:
    """Nothing is written: all of a total is prompt."""
    meter = meter_after(bounds=TokenBounds(400, 0))
    plain.observe(Raw(b'{"total_tokens":20%b}' % more), meter)
    assert (meter.tokens, meter.source) == (Tokens(20, 0), "provider")
