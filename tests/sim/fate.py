"""The fate of a world's machines: disks that refuse, processes that die, machines that begin again from what they were."""

from edge.journal.files.folder import epochs
from tests.sim.edge import ROOT, Process
from tests.sim.requests import Requests


class Fate(Requests):
    """What nobody wants and everybody gets."""

    def sync(self) -> None:
        process = self.some_process()
        if process is not None and process.journal is not None:
            self.within(process, lambda: self.make_durable(process))

    def make_durable(self, process: Process) -> None:
        assert process.journal is not None
        if process.journal.sync_now():
            for generation in self.home[process].generations.values():
                if generation.epoch == process.epoch and generation.has_intent:
                    generation.is_sure = generation.is_intent_sure = True
                    generation.is_doubtful = False

    def spoil_disk(self) -> None:
        machine = self.dice.choice(self.machines)
        call = self.dice.choice(("write", "sync", "create", "write_at", "short"))
        self.note(machine.node, "disk refuses", call)
        if call == "short":
            machine.disk.short_bytes = self.dice.randint(0, 60)
        else:
            machine.disk.refuse[call] = self.dice.choice((28, 5))

    def mend_disk(self) -> None:
        for machine in self.machines:
            machine.disk.refuse.clear()

    def arm_crash(self) -> None:
        machine = self.dice.choice(self.machines)
        machine.disk.calls_left = self.dice.randint(1, 12)

    def start(self) -> None:
        machine = self.dice.choice(self.machines)
        joining = [process for process in machine.processes if process.journal is None]
        if joining:
            self.send(joining[0], 0, joining[0].boot)
        elif not machine.processes or (self.dice.random() < 0.05 and len(machine.processes) < 2):
            self.begin_process(machine)

    def kill(self) -> None:
        machine = self.dice.choice(self.machines)
        if machine.processes:
            self.kill_process(machine, self.dice.choice(machine.processes))

    def cut_power(self) -> None:
        self.cut(self.dice.choice(self.machines))

    def adopt(self) -> None:
        process = self.some_process()
        if process is not None and process.to_adopt:
            self.within(process, lambda: self.recover(process))

    def recover(self, process: Process) -> None:
        trying = process.to_adopt[0]
        try:
            epoch = process.adopt()
        except OSError:
            self.home[process].lied_to.add(trying)
            return
        for generation in self.home[process].generations.values():
            if epoch and generation.epoch == epoch:
                generation.is_sure = True

    def drain(self) -> None:
        process = self.some_process()
        if process is not None:
            self.note(process, "drains")
            process.is_draining = True
            for wallet in process.wallets.values():
                self.give_back(process, wallet)

    def snapshot(self) -> None:
        if self.has_snapshots:
            machine = self.dice.choice(self.machines)
            machine.snapshot = machine.disk.image(is_power_cut=False)
            if self.dice.random() < 0.3:
                self.backup = self.collector.restored_copy()  # type: ignore[assignment]

    def restore(self) -> None:
        """A machine, or rarely the collector, begins again from what it was some time ago."""
        machine = self.dice.choice(self.machines)
        if self.backup is not None and self.dice.random() < 0.2:
            self.note("the collector is restored")
            self.collector, self.backup = self.backup, None
            self.has_lost_books = True
            self.collector.is_restored = True
        elif machine.snapshot is not None:
            self.note(machine.node, "restored")
            self.cut(machine)
            machine.disk, machine.snapshot = machine.snapshot, None
            self.has_restored_disk = True
            for generation in machine.generations.values():
                generation.is_exempt = True
            # From the disk, not from the collector: one that was restored may know less than a disk does.
            self.collector.seq_free.update((machine.node, epoch) for epoch in epochs(machine.disk, ROOT, machine.node))

    def tick(self) -> None:
        self.now_s += self.dice.choice((0.3, 1.0, 1.0, 3.0, 3.0, 10.0, 40.0, 130.0, 400.0, 950.0))

    def step_wall_clock(self) -> None:
        self.wall_ms += self.dice.choice((-3_600_000, -5_000, 5_000, 3_600_000))

    def top_up(self) -> None:
        account = self.dice.choice(("acme", "tiny"))
        self.collector.open_account(account, self.dice.choice((1_000, 100_000)))
