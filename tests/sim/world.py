"""The world: it owns clock, dice, network and disks, moves everything one step at a time, and knows the truth.

Strategy: a step is one thing that happens somewhere, drawn from a table of chances; then what it may have broken is checked. The
same seed draws the same steps. At the end the world is healed, everything is shipped and closed, and the books are compared with
the truth.
"""

from collections.abc import Callable

from tests.sim.edge import Process
from tests.sim.fate import Fate
from tests.sim.invariants import Violation


class World(Fate):
    """`step()` until you have seen enough, then `finish()`. Raises Violation, or an AssertionError of the code itself."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        super().__init__(seed, trace=trace)
        for machine in self.machines:
            self.begin_process(machine)
        self.actions = tuple(action for action, weight in self.chances() for _ in range(weight))

    def chances(self) -> tuple[tuple[Callable[[], None], int], ...]:
        """What may happen, and how often among about 250 steps."""
        return (
            (self.deliver, 56),
            (self.begin_request, 56),
            (self.end_request, 40),
            (self.make_progress, 12),
            (self.sync, 18),
            (self.ship, 24),
            (self.start, 12),
            (self.tick, 6),
            (self.tend, 5),
            (self.poll, 5),
            (self.adopt, 5),
            (self.mend_disk, 5),
            (self.time_out, 4),
            (self.kill, 2),
            (self.kill_task, 2),
            (self.arm_crash, 2),
            (self.cut_power, 1),
            (self.spoil_disk, 1),
            (self.drain, 1),
            (self.top_up, 1),
            (self.step_wall_clock, 1),
            (self.snapshot, 1),
            (self.restore, 1),
        )

    def step(self) -> None:
        self.steps += 1
        self.acted = None
        dice = self.dice
        self.now_s += dice.random() * 0.05
        self.actions[int(dice.random() * len(self.actions))]()
        self.check()

    def deliver(self) -> None:
        """Where nothing is under way, something new begins."""
        if self.net:
            super().deliver()
        else:
            self.begin_request()

    def check(self) -> None:
        if self.collector.changed:
            self.collector.check()
            self.check_terms()
            if not self.has_lost_books:
                for process in self.processes():
                    self.check_wallets(process)
        elif self.acted is not None and not self.has_lost_books:
            self.check_wallets(self.acted)

    def check_terms(self) -> None:
        """Nothing is paid beyond leases but what providers used beyond what was held.

        A disk restored from before a power cut shows facts again that had been lost, after their epoch was closed: late facts.
        """
        sums = self.collector.sums
        if self.has_lost_books:
            return
        late_nano = sums["late"]
        if sums["beyond"] - late_nano > self.overage_nano:
            raise Violation(f"{sums['beyond']} was paid beyond leases; providers went {self.overage_nano} beyond holds")
        if late_nano and not self.has_restored_disk:
            raise Violation(f"{late_nano} of late facts, and no disk was restored")

    def check_wallets(self, process: Process) -> None:
        """The edge's lease is what the collector granted: no more, and no less but what is on its way."""
        collector = self.collector
        for wallet in process.wallets.values():
            lease = wallet.lease
            over_nano = lease.settled_nano + lease.held_nano - lease.granted_nano
            if over_nano > 0:
                raise Violation(f"{process} {wallet} is over by {over_nano}: what comes next is swallowed")
            row = collector.lease_row(process.node, process.epoch, wallet.purse)
            at_collector_nano = row.granted_nano - row.returned_nano if row is not None else 0
            if collector.epochs[process.node, process.epoch].state != "open":
                continue
            known = collector.grants.get(wallet.ask.grant_id) if wallet.ask is not None else None
            coming_nano = known[2].granted_nano if known is not None else 0
            going_nano = sum(amount for one, amount in wallet.returning.items() if one not in collector.returns)
            here_nano = lease.granted_nano + process.forgotten_nano.get(wallet.purse, 0)
            beyond_nano = at_collector_nano - (here_nano + coming_nano + going_nano)
            if beyond_nano:
                raise Violation(f"{process} {wallet} believes in {here_nano}, the collector in {at_collector_nano}")
            paid_nano = row.settled_nano if row is not None else 0
            if paid_nano > lease.settled_nano + process.forgotten_nano.get(wallet.purse, 0):
                raise Violation(f"{process} {wallet} has not spent the {paid_nano} that the collector took from its lease")
