"""A start beside a backlog: the journal of a process that died before it could ship a gigabyte.

Rule: readiness waits neither for the scan nor for the shipping. Reported: the time to ready and to the first paid answer.
"""

import tempfile
import time
from pathlib import Path

from edge.journal.entries import settlement_line
from edge.journal.files.segment import segment_name
from tests.answers import completion, respond
from tests.e2e.conftest import providers_toml
from tests.processes import Account, Collector, Edge, make_account, post
from tests.provider import Provider
from tests.soak.report import Report
from usage.record import Rates, Tokens, UsageRecord

NODE = "beside"
EPOCH = 7
MIB = 1 << 20
SEGMENT_BYTES = 16 * MIB


def lay_down(folder: Path, account: Account, bytes_min: int) -> tuple[int, int]:
    """(records, bytes) of an epoch that nobody owns any more, in segments as a journal leaves them."""
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    seq = size = number = 0
    while size < bytes_min:
        number += 1
        with (folder / segment_name(number)).open("wb") as segment:
            while segment.tell() < SEGMENT_BYTES:
                seq += 1
                segment.write(settlement_line(record_of(account, seq)))
            size += segment.tell()
    return seq, size


def record_of(account: Account, seq: int) -> UsageRecord:
    return UsageRecord(
        gen_id=f"gen-backlog-{seq:013d}",
        seq=seq,
        node=NODE,
        epoch=EPOCH,
        account=account.name,
        key_id=account.key_id,
        purse=account.name,
        model="mock/m",
        provider="mock",
        upstream_model="m",
        tokens=Tokens(prompt=1, completion=1),
        rates=Rates(input=1_000, output=1_000, version="backlog"),
        cost_nano=2,
        hold_nano=1_000,
        started_ms=1_700_000_000_000 + seq,
        status=200,
        end_reason="completed",
        usage_source="provider",
        finish_reason="stop",
        latency_ms=812,
        request_id=f"req-backlog-{seq:013d}",
        upstream_id=f"chatcmpl-{seq:024d}",
        user_agent="OpenAI/Python 3.54.0",
    )


def soak(report: Report, seed: int, count: int) -> None:
    """`count` MiB of backlog."""
    with tempfile.TemporaryDirectory(prefix="tollway-soak-") as name, Provider() as provider:
        folder = Path(name)
        with Collector(folder / "collector") as collector:
            account = make_account(collector, "beside", "1000.00")
            edge = Edge(folder / "node", providers_toml(provider), collector=collector, node=NODE)
            records, size = lay_down(folder / "node" / "data" / "journal" / NODE / str(EPOCH), account, count * MIB)
            provider.script("m", respond(completion(prompt=1, tokens=1)))
            began_s = time.monotonic()
            with edge:
                ready_s = time.monotonic() - began_s
                reply = post(edge.port, {"model": "mock/m", "messages": [{"role": "user", "content": "hi"}]}, account.headers)
                answered_s = time.monotonic() - began_s
                assert reply.status == 200, reply
                report.say("backlog", f"{records} records, {size / MIB:.0f} MiB")
                report.say("ready after", f"{ready_s:.2f} s; first paid answer after {answered_s:.2f} s")
                assert ready_s < 5.0
