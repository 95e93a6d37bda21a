"""Records that are refused: seen by whoever looks, charged to nobody, with every kind of reason told by a word."""

import json

import msgspec
import pytest

from collector.figures import exposition
from collector.ingest.rejections import KINDS, kind_of
from collector.ingest.screening import Screen
from collector.leasing.nodes import list_nodes
from collector.ledger.audit import verify
from collector.service import Collector
from collector.store.contract import Store
from tests.collector.facts import Node, make_caller, spent_nano
from usage.record import COST_NANO_MAX, COUNT_MAX, FREE_TEXTS, Rates, Tokens, UsageRecord, fitted

pytestmark = pytest.mark.anyio


async def test_rejected_record_shows_wherever_an_operator_looks(collector: Collector, store: Store) -> None:
    """In `verify`, in `nodes list`, and in /metrics, with why; the books hold all the same."""
    caller, node = await make_caller(collector), await Node(collector).boot()
    good, dear, strange = (node.fact(seq, caller) for seq in (1, 2, 3))
    dear = msgspec.structs.replace(dear, cost_nano=5)
    strange = msgspec.structs.replace(strange, key_id="nobody")
    ack = await node.link.ingest(node.batch([good, dear, strange]))
    assert (ack.acked_through, [one.seq for one in ack.rejected]) == (3, [2, 3])
    checks = {check.name: check for check in store.read(verify)}
    assert all(check.is_kept for check in checks.values())
    figures = checks["records that were rejected and charged to nobody"].figures
    assert figures.startswith("2: node fra-1 2, the last because cost_nano is 5, tokens and rates make 1000")
    [row] = store.read(lambda tx: list_nodes(tx, 0))
    assert (row.rejected, row.rejected_why) == (2, "cost_nano is 5, tokens and rates make 1000")
    text = await exposition(collector)
    assert "tollway_collector_rejected_total 2\n" in text
    assert 'tollway_collector_rejected_by_reason_total{reason="cost"} 1\n' in text
    assert 'tollway_collector_rejected_by_reason_total{reason="unknown_key"} 1\n' in text


async def test_nothing_rejected_says_so(collector: Collector, store: Store) -> None:
    """An empty list is told as one."""
    await Node(collector).boot()
    assert [check.figures for check in store.read(verify) if "rejected" in check.name] == ["none"]
    assert [row.rejected for row in store.read(lambda tx: list_nodes(tx, 0))] == [0]


async def test_record_with_a_text_of_megabytes_is_charged_and_kept_short(collector: Collector, store: Store) -> None:
    """From an edge of before: what a provider wrote costs the text, not the charge."""
    caller, node = await make_caller(collector), await Node(collector).boot()
    poison = msgspec.structs.replace(node.fact(1, caller), finish_reason="x" * 4_000_000, tier="y\0z")
    ack = await node.link.ingest(node.batch([poison, node.fact(2, caller)]))
    assert (ack.acked_through, ack.rejected) == (2, ())
    assert spent_nano(store) == 2_000
    [payload] = [row[0] for row in store.read(lambda tx: tx.rows("SELECT payload FROM records WHERE seq = 1"))]
    assert json.loads(payload)["finish_reason"] == "x" * 128
    assert all(check.is_kept for check in store.read(verify))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"cost_nano": 7}, "cost"),
        ({"cost_nano": -1}, "amount"),
        ({"cost_nano": COST_NANO_MAX + 1}, "amount"),
        ({"hold_nano": -1}, "amount"),
        ({"upstream_cost_pico": -1}, "amount"),
        ({"upstream_cost_pico": 10**18 + 1}, "amount"),
        ({"tokens": Tokens(COUNT_MAX + 1)}, "count"),
        ({"tokens": Tokens(1, searches=-1)}, "count"),
        ({"rates": Rates(search=-1)}, "rate"),
        ({"key_id": "nobody"}, "unknown_key"),
        ({"account": "other"}, "other_owner"),
        ({"purse": "other"}, "other_owner"),
        ({"node": "other"}, "other_node"),
        ({"seq": 0}, "seq"),
        ({"gen_id": "x"}, "id"),
        ({"started_ms": -1}, "id"),
        ({"model": "m" * 1_001}, "other"),
        ({"usage_source": "bounded", "tier": "flex", "upstream_cost_pico": 10**18}, ""),
    ],
)
async def test_reason_is_told_by_a_word(collector: Collector, change: dict[str, object], kind: str) -> None:
    """Few words, so that they may be labels; what is right has none. Between sound records it is found as well as alone."""
    caller, node = await make_caller(collector), await Node(collector).boot()
    record = msgspec.structs.replace(node.fact(1, caller), **change)
    fault = Screen(node.name, node.epoch, {caller.key_id: caller.account}).fault_of(record)
    assert (kind_of(fault) if fault else "") == kind
    batch = [node.fact(2, caller), record, node.fact(3, caller)]
    assert Screen(node.name, node.epoch, {caller.key_id: caller.account}).faults_of(batch) == ({1: fault} if fault else {})
    assert kind_of("never heard of") == "other"
    assert len({word for _, word in KINDS}) < 20


def test_fitted_record_keeps_what_money_hangs_on() -> None:
    """Only free texts are cut, and a record with short ones is itself."""
    record = UsageRecord(
        "gen-1", 1, "n", 1, "a", "k", "a", "m", "p", "u", Tokens(1, 2), Rates(3, 4), 1, 1, 0, 200, "completed", "bounded",
        finish_reason="x" * 10**6, request_id="r", upstream_id="i" * 129, user_agent="", error="e" * 10**5, tier="t" * 10**4,
    )  # fmt: skip
    short = fitted(record)
    assert len(msgspec.json.encode(short)) < 2_000
    assert msgspec.structs.replace(short, **{name: getattr(record, name) for name in FREE_TEXTS}) == record
    assert fitted(short) is short
