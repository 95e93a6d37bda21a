"""What is judged by its columns, all records of a batch at once, against each record alone: the first is never the laxer one."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.ingest.screening import GEN_ID_SLACK_MS, HOUR_MS, SEQ_END, TIME_MS_MAX, Screen
from tests.collector.facts import NOON_MS, RATES, Caller, id_of, make_fact
from usage.pricing import cost_nano
from usage.record import COST_NANO_MAX, COUNT_MAX, TEXT_CHARS_MAX, UPSTREAM_COST_PICO_MAX, Rates, Tokens, UsageRecord

NODE, EPOCH = "fra-1", 7
OWNERS = {"k1": "acme", "k2": "other"}
CALLER = Caller("", "", "k1", "acme", "acme")
FROM_MS, TO_MS = NOON_MS - 2 * GEN_ID_SLACK_MS, NOON_MS + 2 * GEN_ID_SLACK_MS
EDGES_MS = [NOON_MS + side * GEN_ID_SLACK_MS for side in (-1, 0, 1)]
TIMES = (FROM_MS, TO_MS, *(edge_ms + by for edge_ms in EDGES_MS for by in (-HOUR_MS, -1, 0, 1, HOUR_MS)))
ID = id_of("x")
GOOD: dict[str, tuple[Any, ...]] = {
    "seq": (SEQ_END - 1,),
    "hold_nano": (0, COST_NANO_MAX),
    "upstream_cost_pico": (0, 1, UPSTREAM_COST_PICO_MAX),
    "purse": ("acme/k1",),
    "route": ("x" * TEXT_CHARS_MAX,),
    "tokens": (Tokens(), Tokens(prompt=COUNT_MAX)),
    "rates": (Rates(), Rates(request=3)),
}
"""What a record may be, by itself."""
BAD: dict[str, tuple[Any, ...]] = {
    "node": ("fra-2", ""),
    "epoch": (EPOCH + 1, -1),
    "seq": (0, -1, SEQ_END),
    "gen_id": ("", "gen-", ID[:-1], f"{ID}0", f"{ID}\n", ID[:-1] + "u", ID.upper(), "gen-8" + ID[5:], ID[:20] + "é" + ID[21:]),
    "started_ms": (-1, TIME_MS_MAX + 1, 2**62, NOON_MS + 3 * GEN_ID_SLACK_MS, 0),
    "cost_nano": (-1, 1, COST_NANO_MAX + 1),
    "hold_nano": (-1, COST_NANO_MAX + 1),
    "upstream_cost_pico": (-1, UPSTREAM_COST_PICO_MAX + 1),
    "tokens": (Tokens(prompt=-1), Tokens(completion=COUNT_MAX + 1), Tokens(prompt=11, completion=4)),
    "rates": (Rates(input=-1, output=600_000), Rates(input=150_001, output=600_000_000)),
    "account": ("other", ""),
    "key_id": ("k2", "k3"),
    "purse": ("other", "acme/k2"),
    "model": ("x" * (TEXT_CHARS_MAX + 1), "a\0b"),
}
"""What is refused, of a record that is right but for this."""


def screen() -> Screen:
    return Screen(NODE, EPOCH, OWNERS, FROM_MS, TO_MS)


def right(seq: int) -> UsageRecord:
    return make_fact(seq, CALLER, NODE, EPOCH, f"record {seq}", RATES)


def test_right_records_are_sound_at_once() -> None:
    """Else each batch would be read record by record."""
    assert screen().are_sound([right(seq) for seq in range(1, 200)])


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_fault_of_one_record_is_seen_at_once(name: str, value: Any) -> None:
    """Wherever it stands in its batch, and whatever its neighbours share with it."""
    wrong = msgspec.structs.replace(right(2), **{name: value})
    fault = screen().fault_of(wrong)
    assert fault
    for at in range(3):
        batch = [right(1), right(3)]
        batch.insert(at, wrong)
        assert not screen().are_sound(batch)
        assert screen().faults_of(batch) == {at: fault}


CHANGES = st.sampled_from(
    [
        *((name, value) for table in (GOOD, BAD) for name, values in table.items() for value in values),
        *(("started_ms", time_ms) for time_ms in TIMES),
        *(("gen_id", id_of("y", time_ms)) for time_ms in TIMES),
    ]
)


@given(st.lists(st.tuples(st.lists(CHANGES, max_size=2), st.booleans()), min_size=1, max_size=5))
def test_batch_is_judged_as_each_of_its_records(drawn: list[tuple[list[tuple[str, Any]], bool]]) -> None:
    """Sound at once is sound one by one; and what one record leaves behind in a screen decides about no other."""
    batch = []
    for seq, (changes, adds_up) in enumerate(drawn, 1):
        record = msgspec.structs.replace(right(seq), **dict(changes))
        batch.append(msgspec.structs.replace(record, cost_nano=cost_nano(record.tokens, record.rates)) if adds_up else record)
    faults = {at: fault for at, record in enumerate(batch) if (fault := screen().fault_of(record))}
    assert screen().faults_of(batch) == faults
    assert not (faults and screen().are_sound(batch))
