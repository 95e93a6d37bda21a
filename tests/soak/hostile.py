"""Attacks on a running edge with an honest caller beside it, conversations without end, and what all of it cost."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from random import Random

from tests.edge.downstream.test_contract import Served
from tests.hostile.attacks import ATTACKS
from tests.hostile.beside import Target, beside, resident_mib
from tests.hostile.bodies import send_all, table
from tests.hostile.framing import conversation, differs
from tests.hostile.fronts import confusions, disagreements, front
from tests.hostile.siege import CALLERS, Siege
from tests.hostile.siege import SETTLE_S as SIEGE_SETTLE_S
from tests.ports import free_port
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


def siege(report: Report, seed: int, seconds: int) -> None:
    """Attacks for so long with twenty honest callers beside them: none may fail, the memory comes back, the books are whole."""
    folder = Path(tempfile.mkdtemp(prefix="tollway-siege-"))
    try:
        with Edge(folder, NO_PROVIDERS) as edge:
            rich, broke = make_account(edge, "rich", "100000.00"), make_account(edge, "broke", "0.000001")
            honest = make_account(edge, "honest", "100000.00")
            target = Target(edge.port, rich.key, broke.key, honest.key, edge.pid)
            report.say("resident when started", f"{resident_mib(edge.pid)} MiB")
            honest_keys = [make_account(edge, f"honest-{number}", "1000.00").key for number in range(CALLERS)]
            asyncio.run(_besiege(report, Siege(target, honest_keys, seed), target, seconds))
            run(edge, "verify")
            report.say("books", "tollway verify: ok")
            report.say("tracebacks in the log", edge.log.count("Traceback"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _besiege(report: Report, besieged: Siege, target: Target, seconds: int) -> None:
    await besieged.warm_up()
    await asyncio.sleep(SIEGE_SETTLE_S)
    before_mib = resident_mib(target.pid)
    report.say("resident after honest callers alone", f"{before_mib} MiB")
    left_s = float(seconds)
    report.say("honest callers alone", _waits(besieged))
    besieged.waits_s.clear()
    while left_s > 0:
        await besieged.hold(min(left_s, 600.0))
        left_s -= 600.0
        report.say("rounds of attacks", f"{besieged.rounds}: {_waits(besieged)}, {resident_mib(target.pid)} MiB")
    for what in besieged.failed[:20]:
        report.say("failed", what)
    await asyncio.sleep(SIEGE_SETTLE_S)
    report.say("resident before and after", f"{before_mib} and {resident_mib(target.pid)} MiB, {besieged.peak_mib} at most")


def _waits(besieged: Siege) -> str:
    waits_s = sorted(besieged.waits_s)
    at = [waits_s[int(len(waits_s) * share)] for share in (0.5, 0.99)]
    told = f"{len(waits_s)} requests, {len(besieged.failed)} failed"
    return f"{told}, waits: {at[0]:.3f} s, 99 of 100 {at[1]:.3f} s, longest {waits_s[-1]:.3f} s"


def bodies(report: Report, seed: int, count: int) -> None:
    """Bodies that are nearly requests, at every surface of one edge."""
    folder = Path(tempfile.mkdtemp(prefix="tollway-bodies-"))
    try:
        provider_port = free_port()
        with Edge(folder, table(provider_port)) as edge:
            account = make_account(edge, "acct", "100000.00")
            before_mib = resident_mib(edge.pid)
            statuses, faults = asyncio.run(send_all(edge.port, account.key, provider_port, seed, count))
            for fault in faults[:20]:
                report.say("fault", fault)
            told = ", ".join(f"{status}: {number}" for status, number in sorted(statuses.items()))
            report.say("bodies", f"{count}, {len(faults)} faults, tracebacks {edge.log.count('Traceback')} ({told})")
            report.say("resident before and after", f"{before_mib} and {resident_mib(edge.pid)} MiB")
            run(edge, "verify")
            report.say("books", "tollway verify: ok")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
