"""A disk that fills up: new paid work is refused before it is dispatched, running requests settle, service returns by itself.

Limits: needs the right to mount a small tmpfs (root); says so where it has none.
"""

import asyncio
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.answers import DONE, Gate, Step, delta, event, respond, stream, usage_chunk
from tests.answers import completion as whole_completion
from tests.collector_database import records
from tests.e2e.conftest import providers_toml
from tests.e2e.statement import eventually
from tests.load import Seen, fire, shot
from tests.processes import Collector, Edge, make_account, run
from tests.provider import Provider
from tests.soak.report import Report

DISK_BYTES = 4 * 1024 * 1024


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A tmpfs of DISK_BYTES on `folder`."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(filler: Path) -> int:
    """Write until nothing more fits; the bytes that did."""
    size = 0
    with filler.open("ab", buffering=0) as file:
        for step in (65536, 4096, 512, 64, 1):
            try:
                while True:
                    size += file.write(b"x" * step)
            except OSError:
                continue
    return size


def soak(report: Report, seed: int, count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tollway-soak-") as name, Provider() as provider:
        folder = Path(name)
        with (
            small_disk(folder / "node" / "data") as disk,
            Collector(folder / "collector") as collector,
            Edge(folder / "node", providers_toml(provider), collector=collector) as node,
        ):
            account = make_account(collector, "payer", "1000.00")
            provider.script("plain", respond(whole_completion()))
            seen: list[Seen] = []
            for turn in range(count):
                seen += _once(report, turn, disk, node, provider, account.key)
            whole = {each.gen_id: each.cost_nano for each in seen if each.is_whole}
            kept = eventually(
                lambda: records(collector, "payer"), lambda found: {each.gen_id for each in found} >= whole.keys(), 60.0
            )
            # A request whose intent the disk refused at the end of the turn leaves a record of nothing.
            refused = [record for record in kept if record.facts["status"] == 503]
            assert all(record.cost_nano == 0 and record.gen_id not in whole for record in refused)
            assert {record.gen_id: record.cost_nano for record in kept if record not in refused} == whole
            run(collector, "verify")
            report.say("answers, records, of them refusals, lost, doubled", (len(whole), len(kept), len(refused), 0, 0))


def _once(report: Report, turn: int, disk: Path, node: Edge, provider: Provider, key: str) -> list[Seen]:
    """Fill the disk under a running stream, see refusals, empty it, see service."""
    held: list[Step] = [event(delta(content="a")), Gate(f"disk-{turn}"), event(delta("stop")), event(usage_chunk(5, 5)), DONE]
    provider.script("held", stream(held))
    running: list[Seen] = []
    waiting = threading.Thread(
        target=lambda: running.extend(
            asyncio.run(fire(node.port, [shot(f"held-{turn}-{each}", key, "mock/held", stream=True) for each in range(5)], 5))
        )
    )
    waiting.start()
    provider.wait_for_request("held", 5 * (turn + 1))
    filled = fill(disk / "filler")
    asked_before = len(provider.requests["plain"])
    refused = _plain(node, key, f"full-{turn}", 300)
    dispatched = len(provider.requests["plain"]) - asked_before
    statuses = Counter(each.status for each in refused)
    assert dispatched == statuses[200], "a request went out without its intent"
    assert statuses[503] > 0, statuses
    provider.release(f"disk-{turn}")
    waiting.join(30.0)
    assert [each.is_whole for each in running] == [True] * 5, running
    (disk / "filler").unlink()
    emptied_s = time.monotonic()
    back = eventually(lambda: _plain(node, key, f"back-{turn}", 1), lambda found: found[0].is_whole, 30.0)
    report.say("filler bytes; while full: statuses, running streams finished", (filled, dict(statuses), len(running)))
    report.say("seconds until service was back by itself", round(time.monotonic() - emptied_s, 2))
    return [*refused, *running, *back]


def _plain(node: Edge, key: str, name: str, count: int) -> list[Seen]:
    shots = (shot(f"{name}-{number}-{time.monotonic_ns()}", key, "mock/plain", stream=False) for number in range(count))
    return asyncio.run(fire(node.port, shots, 10))
