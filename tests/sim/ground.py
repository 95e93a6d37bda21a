"""The ground of a world: its machines, its clock and dice, and what it is for a process to act, to die, to lose power."""

import random
from collections.abc import Callable
from typing import Any

from tests.sim.disk import Crash, SimDisk
from tests.sim.edge import Generation, Process
from tests.sim.invariants import WatchedCollector

PURSES = (("d1", "acme", "k1", None), ("d2", "acme", "k2", 1_000_000), ("d3", "tiny", "k3", None))


class Machine:
    """A disk and the processes that run on it, all under one node name."""

    def __init__(self, node: str, disk: SimDisk) -> None:
        self.node = node
        self.disk = disk
        self.processes: list[Process] = []
        self.generations: dict[str, Generation] = {}
        self.snapshot: SimDisk | None = None
        self.lied_to: set[int] = set()
        """Epochs whose last owner saw a sync fail. The kernel may show what the medium does not have, and a later sync says
        nothing; a recovery that reads it cannot know. When the power goes too, a number may stand for another fact."""


class Ground:
    """What all parts of a world stand on."""

    process_type: type[Process] = Process
    collector_type: type[WatchedCollector] = WatchedCollector

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.seed = seed
        self.dice = dice = random.Random(seed)
        self.now_s = 1000.0
        self.wall_ms = 1_700_000_000_000
        self.trace: list[str] | None = [] if trace else None
        self.collector = self.collector_type()
        for digest, account, key_id, limit_nano in PURSES:
            self.collector.open_account(account, 0)
            self.collector.add_key(digest, account, key_id, limit_nano)
        self.policies = list(self.collector.keys.values())
        self.collector.open_account("acme", dice.choice((300_000, 2_000_000, 20_000_000)))
        self.collector.open_account("tiny", dice.choice((20_000, 200_000)))
        names = ["n1", "n1" if dice.random() < 0.15 else "n2", "n3"][: dice.randint(1, 3)]
        self.machines = [Machine(name, SimDisk(dice)) for name in names]
        for machine in self.machines:
            machine.disk.install("/journal")
        self.home: dict[Process, Machine] = {}
        self.count = 0
        self.steps = 0
        self.backup: WatchedCollector | None = None
        self.has_lost_books = False
        self.has_snapshots = dice.random() < 0.15
        self.generations = 0
        self.overage_nano = 0
        self.settled = 0
        self.acted: Process | None = None
        self.has_restored_disk = False

    def note(self, *parts: Any) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.steps:4} {self.now_s:8.1f} " + " ".join(map(str, parts)))

    def within(self, process: Process, work: Callable[[], Any]) -> Any:
        """`work()` as this process; None when it died on the way, or before."""
        if process.is_dead:
            return None
        self.acted = process
        disk = process.disk
        disk.owner = process
        try:
            return work()
        except Crash:
            self.note(process, "died inside", getattr(work, "__name__", "a call"))
            machine = self.home[process]
            if self.dice.random() < 0.5:
                self.kill_process(machine, process)
            else:
                self.cut(machine)
        return None

    def processes(self) -> list[Process]:
        return [process for machine in self.machines for process in machine.processes]

    def some_process(self) -> Process | None:
        """A process that has an epoch, if there is one."""
        able = [process for machine in self.machines for process in machine.processes if process.journal is not None]
        return able[int(self.dice.random() * len(able))] if able else None

    def kill_process(self, machine: Machine, process: Process) -> None:
        """kill -9: what it had written lives on in the kernel; what waited in its memory does not."""
        self.note(process, "killed")
        process.die()
        machine.processes.remove(process)
        machine.disk.kill(process)
        if process.journal is not None and process.journal.failure:
            self.doubt(machine, process.epoch)
            machine.lied_to.add(process.epoch)

    def doubt(self, machine: Machine, epoch: int | None, *, is_sure_too: bool = False) -> None:
        """What was not known to be durable may be gone; `is_sure_too`: what was believed to be durable as well."""
        for generation in machine.generations.values():
            if (is_sure_too or not generation.is_sure) and (epoch is None or generation.epoch == epoch):
                generation.is_doubtful = True
                generation.is_intent_sure = generation.is_intent_sure and not is_sure_too

    def cut(self, machine: Machine) -> None:
        self.note(machine.node, "power cut")
        for process in list(machine.processes):
            self.kill_process(machine, process)
        self.doubt(machine, None)
        for epoch in machine.lied_to:
            self.collector.seq_free.add((machine.node, epoch))
            self.doubt(machine, epoch, is_sure_too=True)
        machine.disk = machine.disk.image(is_power_cut=True)
