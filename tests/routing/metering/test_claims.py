"""What providers claim, case by case, and what is charged: by the meter, as both the stream and the whole answer use it.

Each case: what came over the wire (texts of so many bytes and usage objects, in order), and what is charged. The request: a body
of 400 bytes, of which the estimate makes 100 tokens, and max_tokens 200.
"""

import json
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.dialects.claim import Arithmetic
from routing.metering.bounds import PROMPT_ADDED_MAX, REASONING_BEYOND_MAX, TokenBounds
from routing.metering.meter import Meter
from routing.table.tariff import Tariff
from usage.pricing import cost_nano, worst_case_nano
from usage.record import Rates, Tokens, UsageSource

RATES = Rates(input=1_000_000, output=5_000_000, cached=100_000, cache_write=1_250_000, search=10**10)
BOUNDS = TokenBounds(prompt_max=400, completion_max=200)
Event = int | dict[str, Any] | str


def meter_after(*events: Event, arithmetic: Arithmetic = "auto", bounds: TokenBounds = BOUNDS) -> Meter:
    """A number is a delta with a text of so many bytes, anything else a usage object, as JSON or to be made it."""
    meter = Meter(Tariff(RATES), 100, arithmetic, bounds)
    for event in events:
        if isinstance(event, int):
            meter.observe_text(b'{"content":"%b"}' % (b"x" * event))
        else:
            meter.observe_usage((event if isinstance(event, str) else json.dumps(event)).encode())
    return meter


def usage(prompt: Any = None, completion: Any = None, total: Any = None, **more: Any) -> dict[str, Any]:
    members = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    return {name: value for name, value in members.items() if value is not None} | more


def details(**parts: Any) -> dict[str, Any]:
    return {"prompt_tokens_details": parts}


def parts_of_answer(**parts: Any) -> dict[str, Any]:
    return {"completion_tokens_details": parts}


def reasoned(prompt: int, completion: int, reasoning: int, total: int | None = None) -> dict[str, Any]:
    return usage(prompt, completion, total, **parts_of_answer(reasoning_tokens=reasoning))


def growing(*completions: int) -> tuple[Event, ...]:
    """A usage behind every delta of 40 bytes."""
    return tuple(event for completion in completions for event in (40, usage(20, completion, 20 + completion)))


NULLS = '{"prompt_tokens":null,"completion_tokens":null,"total_tokens":null}'
WORDS = (5,) * 300
"""300 deltas of five bytes: 375 tokens by our count, of which the cap of 200 remains."""
FRAMES = (3,) * 150
LONG = TokenBounds(400, 5_000)

CASES: list[tuple[str, tuple[Event, ...], tuple[int, int], UsageSource]] = [
    # Impossible counts.
    ("prompt of five million for hi", (10, usage(5_000_000, 3, 5_000_003)), (400, 3), "bounded"),
    ("prompt of 10^9", (10, usage(10**9, 3)), (400, 3), "bounded"),
    ("prompt of 2^40", (10, usage(2**40, 3, 2**40 + 3)), (400, 3), "bounded"),
    ("prompt of 2^70", (10, usage(2**70, 3)), (400, 3), "bounded"),
    ("prompt of 1e300", (10, '{"prompt_tokens":1e300,"completion_tokens":3}'), (400, 3), "bounded"),
    ("prompt of 1e999, which is no number", (10, '{"prompt_tokens":1e999,"completion_tokens":3}'), (100, 3), "estimated"),
    ("completion of a million", (40, usage(20, 1_000_000, 1_000_020)), (20, 200), "bounded"),
    ("completion of 2^62", (40, usage(20, 2**62)), (20, 200), "bounded"),
    ("both", (40, usage(2**40, 2**40, 2**41)), (400, 200), "bounded"),
    ("only the total is absurd", (40, usage(20, 10, 10**9)), (20, 10), "bounded"),
    (
        "only the reasoning is absurd",
        (40, reasoned(20, 10, 10**9, 30)),
        (20, 10),
        "bounded",
    ),
    ("prompt and its rules of tool use", (10, usage(400 + PROMPT_ADDED_MAX, 3)), (400 + PROMPT_ADDED_MAX, 3), "provider"),
    ("one token beyond what is tolerated of a prompt", (10, usage(401 + PROMPT_ADDED_MAX, 3)), (400, 3), "bounded"),
    ("a server that stops late", (40, usage(20, 241)), (20, 241), "provider"),
    ("one token later than that", (40, usage(20, 242)), (20, 200), "bounded"),
    (
        "reasoning that the cap did not bound",
        (40, reasoned(20, 3_000, 2_990)),
        (20, 3_000),
        "provider",
    ),
    (
        "more of it than any cap lets pass",
        (40, reasoned(20, 9_000, 8_990)),
        (20, 200),
        "bounded",
    ),
    ("more text than the cap, and claimed", (4_000, usage(20, 1_000)), (20, 1_000), "provider"),
    ("more text than the cap, not claimed", (4_000,), (100, 200), "counted"),
    # Partial and stale claims.
    ("usage only in the first chunk", (usage(20, 1, 21), *WORDS), (20, 200), "counted"),
    ("a caller who leaves after 150 frames", (usage(20, 1, 21), *FRAMES), (20, 150), "counted"),
    ("zeros after a good usage", (40, usage(20, 10, 30), usage(0, 0, 0)), (20, 10), "provider"),
    (
        "nulls after a good usage",
        (40, usage(20, 10, 30), NULLS),
        (20, 10),
        "provider",
    ),
    ("an empty object after a good usage", (40, usage(20, 10, 30), {}), (20, 10), "provider"),
    ("an empty object alone", (40, {}), (100, 10), "counted"),
    ("zeros alone", (40, usage(0, 0, 0)), (100, 10), "counted"),
    ("a zero completion after a good one", (40, usage(20, 10, 30), usage(20, 0, 20)), (20, 10), "provider"),
    ("a zero prompt after a good one", (40, usage(20, 10, 30), usage(0, 12, 12)), (20, 12), "provider"),
    ("prompt first, completion last", (usage(20, 0, 20), *FRAMES, usage(None, 150)), (20, 150), "provider"),
    ("prompt first, completion last, and zeros", (usage(20, 0, 20), *FRAMES, usage(0, 150, 150)), (20, 150), "provider"),
    ("completion first, prompt last", (40, usage(None, 10), usage(20)), (20, 10), "provider"),
    (
        "cumulative usage in every chunk",
        growing(10, 20, 30),
        (20, 30),
        "provider",
    ),
    ("the later word is the smaller one", (40, usage(20, 60, 80), usage(20, 50, 70)), (20, 50), "provider"),
    ("a little text after the usage", (400, usage(20, 90, 110), 20), (20, 90), "provider"),
    ("much text after the usage", (400, usage(20, 90, 110), 200), (20, 150), "counted"),
    ("one token for 600 bytes, at the end", (600, usage(20, 1, 21)), (20, 150), "bounded"),
    ("no token for a word", (3, usage(20, 0, 20)), (20, 1), "bounded"),
    ("no token for no text: a filtered answer", (usage(20, 0, 20),), (20, 0), "provider"),
    ("few tokens for a text of long tokens", (640, usage(20, 40, 60)), (20, 40), "provider"),
    ("fewer than a tokenizer can make of it", (640, usage(20, 39, 59)), (20, 160), "bounded"),
    # Odd members.
    ("completion of -35", (40, usage(20, -35, -15)), (20, 10), "counted"),
    ("completion of -35 and a total", (40, usage(20, -35, 32)), (20, 12), "provider"),
    ("prompt of -1", (40, usage(-1, 10)), (100, 10), "estimated"),
    ("no prompt", (40, usage(None, 10)), (100, 10), "estimated"),
    ("prompt null", (40, '{"prompt_tokens":null,"completion_tokens":10,"total_tokens":null}'), (100, 10), "estimated"),
    ("prompt zero", (40, usage(0, 10, 10)), (100, 10), "estimated"),
    ("prompt missing, total there", (40, usage(None, 10, 30)), (20, 10), "provider"),
    ("completion null with a total", (40, usage(20, None, 30)), (20, 10), "provider"),
    ("completion missing", (40, usage(20)), (20, 10), "counted"),
    ("only a total", (40, usage(None, None, 30)), (100, 10), "counted"),
    ("total a string", (40, usage(20, 10, "30")), (20, 10), "provider"),
    ("total a list", (40, usage(20, 10, [30])), (20, 10), "provider"),
    ("total too small", (40, usage(20, 10, 5)), (20, 10), "provider"),
    ("prompt a string", (40, usage("20", 10)), (100, 10), "estimated"),
    ("prompt a string, total there", (40, usage("20", 10, 30)), (20, 10), "provider"),
    ("completion an object", (40, usage(20, {"text": 10})), (20, 10), "counted"),
    ("completion true", (40, usage(20, True)), (20, 10), "counted"),
    ("counts as floats", (40, usage(20.0, 10.0, 30.0)), (20, 10), "provider"),
    ("details an empty list", (40, usage(20, 10, 30, prompt_tokens_details=[])), (20, 10), "provider"),
    ("details a string", (40, usage(20, 10, 30, completion_tokens_details="none")), (20, 10), "provider"),
    ("one part of another type", (40, usage(20, 10, 30, **details(cached_tokens="all", audio_tokens=0))), (20, 10), "provider"),
    (
        "reasoning of more than the completion",
        (4, reasoned(20, 1, 290)),
        (20, 291),
        "provider",
    ),
    (
        "the same with the total of those who left it out",
        (4, reasoned(20, 1, 290, 21)),
        (20, 291),
        "provider",
    ),
    (
        "the same told by the total",
        (4, reasoned(20, 1, 290, 311)),
        (20, 291),
        "provider",
    ),
    ("thinking that only the total has", (40, usage(20, 10, 730)), (20, 710), "provider"),
    (
        "a total that only just can be",
        (40, usage(20, 10, 220 + REASONING_BEYOND_MAX)),
        (20, 200 + REASONING_BEYOND_MAX),
        "provider",
    ),
    ("a total that cannot be", (40, usage(20, 10, 221 + REASONING_BEYOND_MAX)), (20, 10), "bounded"),
    ("OpenAI's new names", (40, {"input_tokens": 20, "output_tokens": 10, "total_tokens": 30}), (20, 10), "provider"),
    ("both names", (40, usage(20, 10, 30, input_tokens=7, output_tokens=7)), (20, 10), "provider"),
    ("the old names filled with zeros", (40, usage(0, 0, 0, input_tokens=20, output_tokens=10)), (20, 10), "provider"),
    (
        "Anthropic's names with a cache apart",
        (40, {"input_tokens": 20, "output_tokens": 10, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 5}),
        (55, 10),
        "provider",
    ),
    (
        "the new names with the cache inside",
        (40, {"input_tokens": 50, "output_tokens": 10, "total_tokens": 60, "input_tokens_details": {"cached_tokens": 30}}),
        (50, 10),
        "provider",
    ),
    ("cached beyond the prompt", (40, usage(200, 10, 210, **details(cached_tokens=201))), (200, 10), "provider"),
    ("cached beyond the prompt, no total", (40, usage(200, 10, **details(cached_tokens=201))), (200, 10), "provider"),
    ("cached apart, as the total tells", (40, usage(20, 10, 60, **details(cached_tokens=30))), (50, 10), "provider"),
    (
        "cached and reasoning apart, as the total tells",
        (40, usage(20, 10, 67, **details(cached_tokens=30), **parts_of_answer(reasoning_tokens=7))),
        (50, 17),
        "provider",
    ),
    # What is no usage.
    ("a list", (40, "[20,10]"), (100, 10), "counted"),
    ("a number", (40, "7"), (100, 10), "counted"),
    ("NaN", (40, '{"prompt_tokens":NaN,"completion_tokens":10}'), (100, 10), "counted"),
    ("deep", (40, '{"prompt_tokens":' + "[" * 10_000 + "]" * 10_000 + "}"), (100, 10), "counted"),
]


@pytest.mark.parametrize(("events", "wholes", "source"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_claim_is_charged_within_its_bounds(events: tuple[Event, ...], wholes: tuple[int, int], source: UsageSource) -> None:
    """Prompt and completion that are charged, and whose count they are."""
    meter = meter_after(*events)
    bill = meter.bill()
    assert ((bill.tokens.prompt, bill.tokens.completion), bill.source) == (wholes, source)
    assert bool(bill.fault) is (source == "bounded")
    told = json.loads(meter.usage_json(), parse_float=Decimal)
    assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (*wholes, sum(wholes))
    assert told.get("usage_source", "provider") == source
    assert told["cost"] * 10**9 == bill.cost_nano == cost_nano(bill.tokens, bill.rates)
    assert isinstance(told["prompt_tokens_details"] or {}, dict)
    assert isinstance(told["completion_tokens_details"] or {}, dict)


@pytest.mark.parametrize(
    ("claim", "parts"),
    [
        (usage(100, 10, 110, **details(cached_tokens=90, image_tokens=80)), Tokens(100, 10, cached=90, image_prompt=80)),
        (usage(100, 10, 110, **details(cached_tokens=150)), Tokens(100, 10, cached=100)),
        (usage(100, 10, 110, **details(cached_tokens=-5, cache_write_tokens=7)), Tokens(100, 10, cache_write=7)),
        (
            usage(100, 10, 110, **details(cache_write_tokens=50, cache_write_tokens_details={"ttl_12h_tokens": 30})),
            Tokens(100, 10, cache_write=50, cache_write_12h=30),
        ),
        (
            {
                "input_tokens": 20,
                "output_tokens": 10,
                "cache_creation_input_tokens": 50,
                "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
                "server_tool_use": {"web_search_requests": 2},
            },
            Tokens(70, 10, cache_write=50, cache_write_1h=30, searches=2),
        ),
        (usage(100, 10, 110, num_search_queries=3), Tokens(100, 10, searches=3)),
        (usage(100, 10, 110, num_search_queries=10**6), Tokens(100, 10, searches=10)),
        (
            usage(100, 10, 110, **details(audio_tokens=40), **parts_of_answer(audio_tokens=8)),
            Tokens(100, 10, audio_prompt=40, audio_completion=8),
        ),
        (usage(100, 10, 110, **parts_of_answer(reasoning_tokens=4, audio_tokens=[])), Tokens(100, 10, reasoning=4)),
    ],
)
def test_claim_of_parts_is_inside_of_its_wholes(claim: dict[str, Any], parts: Tokens) -> None:
    """A part is never more than its whole, and a bad part spoils no other."""
    assert meter_after(40, claim).tokens == parts


def test_cache_write_that_the_provider_does_not_split_has_the_life_that_was_asked_for() -> None:
    """Chat's usage says how much was written; how long it lives, the request did."""
    meter = Meter(Tariff(RATES), 100, "auto", BOUNDS, cache_life="12h")
    meter.observe_usage(json.dumps(usage(100, 10, 110, **details(cache_write_tokens=50))).encode())
    assert meter.tokens == Tokens(100, 10, cache_write=50, cache_write_12h=50)


@pytest.mark.parametrize(
    ("members", "pico"),
    [
        ({"cost": 0.00014}, 140_000_000),
        ('{"prompt_tokens":1,"completion_tokens":10,"cost":0.1234567890123456789}', 123_456_789_012),
        ('{"prompt_tokens":1,"completion_tokens":10,"cost":1.4E-4}', 140_000_000),
        ({"cost": {"input_tokens_cost": 0.1, "total_cost": 0.00525}}, 5_250_000_000),
        ({"cost_in_usd_ticks": 1466250}, 146_625_000),
        ({"estimated_cost": 0.0000288}, 28_800_000),
        ({"cost": "0.5"}, 500_000_000_000),
        ({"cost": 0}, 0),
        ({"cost": "NaN"}, None),
        ({"cost": "sNaN"}, None),
        ({"cost": "inf"}, None),
        ({"cost": -1}, None),
        ({"cost": None}, None),
        ({"cost": [1]}, None),
        ({"cost": {"total_cost": "many"}}, None),
        ({"cost": 10**12}, None),
        ('{"prompt_tokens":1,"completion_tokens":10,"cost":1e999999}', None),
        ({}, None),
    ],
)
def test_providers_own_cost_is_kept_exactly(members: dict[str, Any] | str, pico: int | None) -> None:
    """In pico-dollars, from the decimal text; what is no amount is none, and the usage counts all the same."""
    claim = members if isinstance(members, str) else usage(20, 10, 30, **members)
    bill = meter_after(40, claim).bill()
    assert bill.upstream_cost_pico == pico
    assert bill.source == "provider"


def test_prompt_of_a_search_holds_what_was_found() -> None:
    """Pages that a provider reads for the request are billed as prompt: believed where a search was asked for only."""
    searching = TokenBounds(400, 200, 2, 2)
    claim = usage(30_000, 10, 30_010, server_tool_use={"web_search_requests": 2})
    assert meter_after(40, claim, bounds=searching).tokens == Tokens(30_000, 10, searches=2)
    assert meter_after(40, claim).tokens == Tokens(400, 10, searches=2)
    assert meter_after(40, usage(40_000, 10), bounds=searching).tokens == Tokens(400, 10)


def test_whole_answer_is_counted_only_where_its_claim_is_small() -> None:
    """An answer whose usage says too little for its text is charged for the text; an honest one is not even looked at."""
    answer = json.dumps({"choices": [{"message": {"content": "x" * 800}}]}).encode()
    meter = Meter(Tariff(RATES), 100, "auto", BOUNDS)
    meter.observe_answer(answer, json.dumps(usage(20, 1, 21)).encode())
    assert (meter.tokens, meter.source) == (Tokens(20, 200), "bounded")
    honest = Meter(Tariff(RATES), 100, "auto", BOUNDS)
    honest.observe_answer(answer, json.dumps(usage(20, 190, 210)).encode())
    assert (honest.tokens, honest.source, honest.text_bytes) == (Tokens(20, 190), "provider", 0)
    silent = Meter(Tariff(RATES), 100, "auto", BOUNDS)
    silent.observe_answer(answer, b"")
    assert (silent.tokens, silent.source) == (Tokens(100, 200), "counted")


def test_pages_that_were_found_are_no_text_of_the_model() -> None:
    """A provider that searches quotes what it found: that is not what the completion is made of."""
    page = {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "content": 'a "quote" {and} braces ' * 400}}
    answer = json.dumps({"choices": [{"message": {"content": "x" * 400, "annotations": [page]}}]}).encode()
    meter = Meter(Tariff(RATES), 100, "auto", BOUNDS)
    meter.observe_answer(answer, json.dumps(usage(20, 90, 110)).encode())
    assert (meter.tokens, meter.source) == (Tokens(20, 90), "provider")


@pytest.mark.parametrize(
    ("event", "counted"),
    [
        (b'{"choices":[{"delta":{"content":"\xc4\xe3\xba\xc3, and more"}}', 4),
        (b"x" * 100, 25),
        (b'{"choices":[{"delta":{"content":"' + b"y" * 80 + b'"}}],"x":NaN}', 20),
        (b"", 0),
    ],
)
def test_what_cannot_be_read_is_counted_by_its_bytes(event: bytes, counted: int) -> None:
    """By its text where that can be made out, else by all of it: unread is not free."""
    meter = Meter(Tariff(RATES), 100, "auto", BOUNDS)
    meter.observe_unread(event)
    assert (meter.tokens, meter.source) == (Tokens(100, counted), "counted")


counts = st.integers(-5, 500) | st.integers(-(2**70), 2**70) | st.floats()
numbers: st.SearchStrategy[Any] = counts | st.none() | st.booleans() | st.text(max_size=3) | st.just([]) | st.just({})
parts = st.dictionaries(
    st.sampled_from(("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", "reasoning_tokens")), numbers
)
claims = st.dictionaries(
    st.sampled_from(
        (
            *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "reasoning_tokens", "cost"),
            *("cached_tokens", "num_cached_tokens", "cache_read_input_tokens", "num_search_queries", "citation_tokens"),
        )
    ),
    numbers,
).flatmap(
    lambda plain: st.fixed_dictionaries(
        {}, optional={"prompt_tokens_details": numbers | parts, "completion_tokens_details": numbers | parts}
    ).map(lambda nested: plain | nested)
)
random_events = st.lists(st.integers(1, 60) | claims, max_size=12)
MOST = Tokens(400 + PROMPT_ADDED_MAX, 225 + 16 + REASONING_BEYOND_MAX, searches=10)
MOST_NANO = worst_case_nano(MOST.prompt, MOST.completion, RATES, MOST.searches)


@given(random_events, st.sampled_from(("auto", "reasoning_included", "reasoning_excluded")))
def test_no_claim_costs_more_than_is_possible(events: list[Event], arithmetic: Arithmetic) -> None:
    """Whatever is claimed, in whatever order: within the bounds, a cost that recomputes, a usage object that can be read."""
    meter = meter_after(*events, arithmetic=arithmetic)
    bill = meter.bill()
    tokens = bill.tokens
    text_bytes = sum(event for event in events if isinstance(event, int))
    deltas = sum(isinstance(event, int) for event in events)
    counted = max(deltas, -(-text_bytes // 4))
    assert 0 < tokens.prompt <= MOST.prompt
    assert 0 <= tokens.completion <= max(MOST.completion, counted)
    assert tokens.completion >= min(-(-text_bytes // 16), 200)
    assert bill.cost_nano == cost_nano(tokens, bill.rates) <= MOST_NANO
    told = json.loads(meter.usage_json())
    assert told["total_tokens"] == tokens.prompt + tokens.completion
    assert max(tokens.cached, tokens.cache_write, tokens.audio_prompt, tokens.image_prompt) <= tokens.prompt
    assert max(tokens.reasoning, tokens.audio_completion, tokens.image_completion) <= tokens.completion


def test_claim_of_the_first_chunk_is_no_less_than_what_was_counted() -> None:
    """At its word, 300 words would be one token."""
    meter = meter_after(usage(20, 1, 21), *WORDS, bounds=LONG)
    assert meter.tokens.completion == meter.completion_counted == 375
    assert meter._claim is not None
    assert meter._claim.completion_tokens == 1


SEEDS_OF_TEXT = (
    b'{"prompt_tokens":20,"completion_tokens":10,"total_tokens":30}',
    b'{"prompt_tokens":20,"completion_tokens":10,"total_tokens":730,"prompt_tokens_details":{"cached_tokens":5,"audio_tokens":0}}',
    b'{"input_tokens":20,"output_tokens":10,"cache_creation":{"ephemeral_1h_input_tokens":3},"cost":{"total_cost":0.01}}',
    b'{"prompt_tokens":9,"completion_tokens":1,"billed_units":{"input_tokens":8.0,"output_tokens":3.0},"cost_in_usd_ticks":17}',
)
PIECES = (
    b"-",
    b"0",
    b"9" * 30,
    b"null",
    b"[]",
    b"{}",
    b'"',
    b",",
    b":",
    b"e999",
    b".5",
    b"\xff",
    b"\\u0000",
    b"true",
    b"NaN",
    b" ",
)


def mangled(dice: random.Random) -> bytes:
    """A usage object with a few bytes of it replaced, doubled or gone."""
    text = bytearray(dice.choice(SEEDS_OF_TEXT))
    for _ in range(dice.randint(1, 4)):
        at, end = sorted((dice.randint(0, len(text)), dice.randint(0, len(text))))
        end = min(end, at + dice.randint(0, 12))
        text[at:end] = dice.choice((*PIECES, b"", bytes(text[at:end]) * 2))
    return bytes(text)


def check_mangled(seed: int) -> None:
    """What comes of mangled usages between deltas is within the bounds, recomputes, and can be told."""
    dice = random.Random(seed)
    meter = Meter(Tariff(RATES), 100, "auto", BOUNDS)
    for _ in range(dice.randint(1, 4)):
        meter.observe_text(b'{"content":"%b"}' % (b"x" * dice.randint(0, 40)))
        meter.observe_usage(mangled(dice))
    bill = meter.bill()
    assert 0 < bill.tokens.prompt <= MOST.prompt
    assert 0 <= bill.tokens.completion <= MOST.completion
    assert bill.cost_nano == cost_nano(bill.tokens, bill.rates) <= MOST_NANO
    assert json.loads(meter.usage_json().decode(errors="replace"))["total_tokens"] == bill.tokens.total


def test_mangled_usage_is_charged_within_bounds_and_breaks_nothing() -> None:
    """Usage objects with bytes replaced, doubled or gone; `scripts/soak claims` is the long form."""
    for seed in range(3_000):
        check_mangled(seed)
