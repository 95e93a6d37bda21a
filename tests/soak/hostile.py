"""Attacks on a running edge with an honest caller beside it, conversations without end, and what all of it cost."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from random import Random

from tests.edge.downstream.test_contract import Served
from tests.hostile.attacks import ATTACKS
from tests.hostile.beside import Target, beside, resident_mib
from tests.hostile.framing import conversation, differs
from tests.hostile.fronts import confusions, disagreements, front
from tests.processes import Edge, make_account, run
from tests.soak.report import Report

NO_PROVIDERS = ""
SETTLE_S = 3.0


def soak(report: Report, seed: int, seconds: int) -> None:
    """Each attack for `seconds`; then the memory that stays, and whether the books are whole."""
    folder = Path(tempfile.mkdtemp(prefix="tollway-hostile-"))
    try:
        with Edge(folder, NO_PROVIDERS) as edge:
            rich, broke = make_account(edge, "rich", "1000.00"), make_account(edge, "broke", "0.000001")
            honest = make_account(edge, "honest", "1000.00")
            target = Target(edge.port, rich.key, broke.key, honest.key, edge.pid)
            asyncio.run(_attack(report, target, seconds))
            run(edge, "verify")
            report.say("books", "tollway verify: ok")
            log = edge.log
            report.say("tracebacks in the log", log.count("Traceback"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _attack(report: Report, target: Target, seconds: int) -> None:
    report.say("alone", await beside("", target, seconds))
    before_mib = resident_mib(target.pid)
    for name in (*ATTACKS, "mixed"):
        report.say("beside", await beside(name, target, seconds))
        await asyncio.sleep(SETTLE_S)
    report.say("afterwards", await beside("", target, seconds))
    report.say("resident before and after", f"{before_mib} and {resident_mib(target.pid)} MiB")


def framing(report: Report, seed: int, count: int) -> None:
    """Conversations, against a plain reading."""
    random = Random(seed)
    found = 0
    for number in range(count):
        reads = conversation(Random(random.getrandbits(64)))
        why = differs(reads)
        if why:
            found += 1
            report.say("difference", f"{reads}: {why}")
        if (number + 1) % 100_000 == 0:
            report.say("conversations", f"{number + 1}, {found} differences")
    report.say("conversations", f"{count}, {found} differences")


def smuggling(report: Report, seed: int, count: int) -> None:
    """Behind each proxy that is installed; and what granian makes of as many conversations."""
    folder = Path(tempfile.mkdtemp(prefix="tollway-granian-"))
    with Served(folder, "native") as ours, Served(folder, "granian") as other:
        report.say("granian", f"{count} conversations, disagreements: {disagreements(ours.port, other.port, seed, count)}")
    shutil.rmtree(folder, ignore_errors=True)
    for kind in ("haproxy", "nginx"):
        if shutil.which(kind) is None:
            report.say(kind, "not installed")
            continue
        folder = Path(tempfile.mkdtemp(prefix=f"tollway-{kind}-"))
        with Served(folder, "native") as served, front(kind, served.port, folder) as port:
            report.say(kind, f"{count} conversations, confused callers: {confusions(port, seed, count)}")
        shutil.rmtree(folder, ignore_errors=True)
