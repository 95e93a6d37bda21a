"""Records: they survive the wire, and say all that their cost was made of."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage.pricing import cost_nano, is_cost
from usage.record import EndReason, Rates, Tokens, Tried, UsageRecord, outcome_of

counts = st.integers(0, 10**7)
rates = st.builds(Rates, input=counts, output=counts, cached=st.none() | counts, request=counts, version=st.text(max_size=8))
tokens = st.builds(
    Tokens,
    prompt=counts,
    completion=counts,
    cached=counts,
    reasoning=counts,
    cache_write=counts,
    cache_write_1h=counts,
    cache_write_12h=counts,
    searches=counts,
)
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(UsageRecord).decode


def record(tokens: Tokens, rates: Rates) -> UsageRecord:
    return UsageRecord(
        gen_id="gen-1",
        seq=1,
        node="n",
        epoch=1,
        account="a",
        key_id="k",
        purse="a",
        model="m",
        provider="p",
        upstream_model="u",
        tokens=tokens,
        rates=rates,
        cost_nano=cost_nano(tokens, rates),
        hold_nano=0,
        started_ms=0,
        status=200,
        end_reason="completed",
        usage_source="provider",
    )


@given(tokens, rates)
def test_record_survives_the_wire_and_recomputes(tokens: Tokens, rates: Rates) -> None:
    """What comes out is what went in, on one line, and its cost can be computed again from it alone."""
    one = record(tokens, rates)
    line = encode(one)
    assert b"\n" not in line
    again = decode(line)
    assert again == one
    assert cost_nano(again.tokens, again.rates) == again.cost_nano


OLDER = (
    b'{"gen_id":"gen-1","seq":7,"node":"n","epoch":1,"account":"a","key_id":"k","purse":"a","model":"m","provider":"p",'
    b'"upstream_model":"u","tokens":{"prompt":100,"completion":10,"cached":90,"image_prompt":80},'
    b'"rates":{"input":10000,"output":20000,"cached":1000,"image_prompt":20000,"version":"v"},"cost_nano":1890,"hold_nano":2000,'
    b'"started_ms":1,"status":200,"end_reason":"completed","usage_source":"provider"}'
)
"""A record as the first releases wrote it, with parts that overlap."""


def test_record_of_an_older_release_is_read_and_right() -> None:
    """Journals and stores outlive releases: what is new has a default, and what it cost then recomputes."""
    older = decode(OLDER)
    assert older.surface == "chat"
    assert (older.tier, older.upstream_cost_pico, older.tokens.searches, older.rates.cache_write_1h) == ("", None, 0, None)
    assert encode(older) == OLDER
    assert is_cost(older.cost_nano, older.tokens, older.rates)
    assert cost_nano(older.tokens, older.rates) < older.cost_nano


def test_tokens_total_is_prompt_and_completion() -> None:
    """Parts are inside their whole and not counted twice."""
    assert Tokens(prompt=10, completion=5, cached=4, reasoning=3).total == 15


@pytest.mark.parametrize("bad", [b'{"cost_nano":1.5}', b'{"end_reason":"vanished"}', b"[]", b'{"seq":"1"}'])
def test_record_of_another_shape_is_refused(bad: bytes) -> None:
    """A float where money belongs, an unknown reason, a missing field: no record."""
    whole = msgspec.to_builtins(record(Tokens(1, 1), Rates(1, 1)))
    change = msgspec.json.decode(bad)
    text = encode({**whole, **change}) if isinstance(change, dict) else bad
    with pytest.raises(msgspec.ValidationError):
        decode(text)


def test_record_is_frozen() -> None:
    """A fact does not change."""
    with pytest.raises(AttributeError):
        record(Tokens(), Rates()).cost_nano = 0  # type: ignore[misc]


RECORD = record(Tokens(), Rates())
TRIED = (Tried("a", "m", "unavailable", 503),)


def test_outcome_ends_with_who_answered() -> None:
    one = msgspec.structs.replace(RECORD, tried=TRIED, attempts=2, provider="b", upstream_model="n")
    told = outcome_of(one)
    assert told["attempt"] == 2
    assert [(each["provider"], each["result"]) for each in told["attempts"]] == [("a", "unavailable"), ("b", "answered")]


def test_outcome_of_nobody() -> None:
    """All that were asked said no: nobody answered. A caller who left before a word came was answered by nobody either."""
    one = msgspec.structs.replace(RECORD, tried=TRIED, attempts=1, status=503, end_reason="upstream_error", error="unavailable")
    assert outcome_of(one)["attempt"] is None
    assert len(outcome_of(one)["attempts"]) == 1
    left = msgspec.structs.replace(RECORD, status=499, end_reason="cancelled", ttft_ms=0, upstream_id="")
    assert outcome_of(left)["attempt"] is None
    assert outcome_of(left)["attempts"][0]["result"] == "cancelled"


def test_outcome_of_an_old_record() -> None:
    """It counted its attempts and named the last."""
    told = outcome_of(msgspec.structs.replace(RECORD, attempts=3))
    assert told["attempts"] == [
        {"provider": RECORD.provider, "model": RECORD.upstream_model, "status": 200, "result": "answered"}
    ]


@pytest.mark.parametrize("end_reason", get_args(EndReason))
def test_record_fault_is_neither_the_callers_leaving_nor_the_end_of_credit(end_reason: EndReason) -> None:
    """What it says first is the error's name, else how it ended."""
    one = msgspec.structs.replace(record(Tokens(), Rates(1, 1)), end_reason=end_reason)
    is_fault = end_reason not in ("completed", "cancelled", "credit_limit")
    assert one.fault == (end_reason if is_fault else "")
    assert msgspec.structs.replace(one, error="timeout_idle").fault == ("timeout_idle" if is_fault else "")
