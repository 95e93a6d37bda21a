"""Intents, tokens and records of made-up generations, as short as the tests of journal and shipper can have them."""

from typing import Any

import msgspec

from edge.journal import Intent
from usage.pricing import cost_nano
from usage.record import Rates, Tokens, UsageRecord

RATES = Rates(input=150_000, output=600_000, version="test")


def gen_id(number: int) -> str:
    return f"gen-{number:026d}"


def intent(number: int) -> Intent:
    return Intent(
        gen_id=gen_id(number),
        purse="acc",
        account="acc",
        key_id="key",
        model="echo/small",
        provider="echo",
        upstream_model="small",
        rates=RATES,
        hold_nano=1_000_000,
        prompt_estimate=10,
        started_ms=1_700_000_000_000 + number,
    )


def record(number: int, seq: int, *, epoch: int = 1, completion: int = 20, **changes: Any) -> UsageRecord:
    tokens = Tokens(prompt=10, completion=completion)
    made = UsageRecord(
        gen_id=gen_id(number),
        seq=seq,
        node="node",
        epoch=epoch,
        account="acc",
        key_id="key",
        purse="acc",
        model="echo/small",
        provider="echo",
        upstream_model="small",
        tokens=tokens,
        rates=RATES,
        cost_nano=cost_nano(tokens, RATES),
        hold_nano=1_000_000,
        started_ms=1_700_000_000_000 + number,
        status=200,
        end_reason="completed",
        usage_source="provider",
    )
    return msgspec.structs.replace(made, **changes)
