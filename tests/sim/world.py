"""The world: it owns clock, dice, network and disks, moves everything one step at a time, and knows the truth.

Strategy: a step is one thing that happens somewhere, drawn from a table of chances; then what it may have broken is checked. The
same seed draws the same steps. At the end the world is healed, everything is shipped and closed, and the books are compared with
the truth.
"""

import random
from collections.abc import Callable
from typing import Any

from edge.journal.facts import Intent
from edge.journal.folder import EpochInUse
from edge.journal.journal import JournalUnavailable
from edge.lane import Lane
from edge.wallet import Wallet
from tests.sim.books import Violation, WatchedOffice
from tests.sim.disk import Crash, SimDisk
from tests.sim.edge import Generation, Process
from usage.pricing import cost_nano, worst_case_nano
from usage.protocol import Acquire, Batch, Boot, Close, Refused, Return, Unreachable
from usage.record import Rates, Tokens, UsageRecord

RATES = (Rates(input=150_000, output=600_000), Rates(input=3_000, output=15_333, request=70_000), Rates(request=1_000_000))
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


class Message:
    """Something under way: to the centre (`talk` awaits the answer) or back."""

    __slots__ = ("about", "body", "is_reply", "process", "sent_s", "talk", "wallet")

    def __init__(self, process: Process, talk: int, body: Any, sent_s: float, wallet: Wallet | None, is_reply: bool) -> None:
        self.process = process
        self.talk = talk
        self.body = body
        self.sent_s = sent_s
        self.wallet = wallet
        self.is_reply = is_reply
        self.about: Any = None


class World:
    """`step()` until you have seen enough, then `finish()`. Raises Violation, or an AssertionError of the code itself."""

    process_type: type[Process] = Process
    office_type: type[WatchedOffice] = WatchedOffice

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.seed = seed
        self.dice = dice = random.Random(seed)
        self.now_s = 1000.0
        self.wall_ms = 1_700_000_000_000
        self.trace: list[str] | None = [] if trace else None
        self.office = self.office_type()
        for digest, account, key_id, limit_nano in PURSES:
            self.office.open_account(account, 0)
            self.office.add_key(digest, account, key_id, limit_nano)
        self.policies = list(self.office.keys.values())
        self.office.open_account("acme", dice.choice((300_000, 2_000_000, 20_000_000)))
        self.office.open_account("tiny", dice.choice((20_000, 200_000)))
        names = ["n1", "n1" if dice.random() < 0.15 else "n2", "n3"][: dice.randint(1, 3)]
        self.machines = [Machine(name, SimDisk(dice)) for name in names]
        for machine in self.machines:
            machine.disk.install("/journal")
        self.home: dict[Process, Machine] = {}
        self.net: list[Message] = []
        self.count = 0
        self.steps = 0
        self.backup: WatchedOffice | None = None
        self.has_lost_books = False
        self.has_snapshots = dice.random() < 0.15
        self.generations = 0
        self.overage_nano = 0
        self.settled = 0
        self.acted: Process | None = None
        self.has_restored_disk = False
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
            (self.adopt, 5),
            (self.mend_disk, 5),
            (self.time_out, 4),
            (self.kill, 2),
            (self.arm_crash, 2),
            (self.cut_power, 1),
            (self.spoil_disk, 1),
            (self.drain, 1),
            (self.top_up, 1),
            (self.step_wall_clock, 1),
            (self.snapshot, 1),
            (self.restore, 1),
        )

    def note(self, *parts: Any) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.steps:4} {self.now_s:8.1f} " + " ".join(map(str, parts)))

    def step(self) -> None:
        self.steps += 1
        self.acted = None
        dice = self.dice
        self.now_s += dice.random() * 0.05
        self.actions[int(dice.random() * len(self.actions))]()
        self.check()

    # Doing something in a process: it may die at any call to its disk.

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
                self.bury(machine, process)
            else:
                self.cut(machine)
        return None

    def processes(self) -> list[Process]:
        return [process for machine in self.machines for process in machine.processes]

    def some_process(self) -> Process | None:
        """A process that has an epoch, if there is one."""
        able = [process for machine in self.machines for process in machine.processes if process.journal is not None]
        return able[int(self.dice.random() * len(able))] if able else None

    # Requests.

    def begin_request(self) -> None:
        process = self.some_process()
        if process is None or process.is_draining or process.is_fenced or process.journal is None:
            return
        dice = self.dice
        policy = self.policies[int(dice.random() * len(self.policies))]
        rates = RATES[int(dice.random() * len(RATES))]
        prompt_max, completion_max = dice.randint(1, 60), dice.choice((1, 8, 40))
        full_nano = worst_case_nano(prompt_max, completion_max, rates)
        least_nano = worst_case_nano(prompt_max, 1, rates)
        wallet = process.wallet(policy.purse, policy.digest)
        now_s = self.now_s
        hold_nano = wallet.hold_up_to(least_nano, full_nano, now_s)
        if not hold_nano:
            if wallet.expired_nano(now_s) or wallet.returning:
                self.give_back(process, wallet)
            self.send_acquire(process, wallet, full_nano, max(least_nano - wallet.lease.free_nano, 1))
            hold_nano = 0 if process.is_dead else wallet.hold_up_to(least_nano, full_nano, now_s)
        if not hold_nano:
            return
        if now_s >= process.true_until_s.get(policy.purse, 0.0):
            raise Violation(f"{process} admits on {wallet} after its life")
        self.generations += 1
        generation = Generation(
            f"g{self.generations}",
            policy.account,
            policy.key_id,
            policy.purse,
            hold_nano,
            rates,
            Tokens(),
            prompt_max,
            completion_max if hold_nano == full_nano else 1,
            self.wall_ms,
            epoch=process.epoch,
        )
        self.within(process, lambda: self.dispatch(process, generation))

    def dispatch(self, process: Process, generation: Generation) -> None:
        """The intent, and then the bytes; a process that dies in the intent has dispatched nothing."""
        machine = self.home[process]
        machine.generations[generation.gen_id] = generation
        generation.is_doubtful = True
        journal = process.journal
        assert journal is not None
        try:
            journal.intent(intent_of(generation))
        except JournalUnavailable:
            process.wallets[generation.purse].settle(generation.hold_nano, 0, self.now_s)
            return
        generation.has_intent = True
        generation.is_doubtful = False
        generation.is_dispatched = True
        process.running.append(generation)

    def some_generation(self, process: Process | None) -> Generation | None:
        if process is None or not process.running:
            return None
        return process.running[int(self.dice.random() * len(process.running))]

    def make_progress(self) -> None:
        process = self.some_process()
        generation = self.some_generation(process)
        if process is None or generation is None:
            return
        self.grow(generation, is_last=False)
        self.within(process, lambda: self.mark(process, generation))

    def mark(self, process: Process, generation: Generation) -> None:
        journal = process.journal
        assert journal is not None
        was_doubtful, generation.is_doubtful = generation.is_doubtful, True
        generation.marks.append(cost_nano(generation.tokens, generation.rates))
        shed = journal.marks_shed_total
        journal.progress(generation.gen_id, generation.tokens)
        if journal.marks_shed_total > shed:
            generation.marks.pop()
        generation.is_sure = False
        generation.is_doubtful = was_doubtful

    def grow(self, generation: Generation, *, is_last: bool) -> None:
        """The provider works on; now and then it uses more than was held."""
        dice, tokens = self.dice, generation.tokens
        prompt, completion = tokens.prompt or dice.randint(1, generation.prompt_max), tokens.completion
        if completion < generation.completion_max:
            completion = dice.randint(completion, generation.completion_max)
        if is_last and dice.random() < 0.03:
            completion += dice.randint(1, 50)
        generation.tokens = Tokens(prompt, completion)

    def end_request(self) -> None:
        process = self.some_process()
        generation = self.some_generation(process)
        if process is None or generation is None or process.journal is None:
            return
        process.running.remove(generation)
        self.grow(generation, is_last=True)
        record = record_of(process, generation, process.journal.next_seq())
        over_nano = max(record.cost_nano - generation.hold_nano, 0)
        generation.overage_nano = over_nano
        self.overage_nano += over_nano
        process.overage_nano[generation.purse] = process.overage_nano.get(generation.purse, 0) + over_nano
        self.settled += 1
        self.within(process, lambda: self.write_settlement(process, generation, record))

    def write_settlement(self, process: Process, generation: Generation, record: UsageRecord) -> None:
        was_doubtful, generation.is_doubtful = generation.is_doubtful, True
        generation.final_nano = record.cost_nano
        generation.is_sure = False
        process.settle(generation, record)
        assert process.journal is not None
        generation.is_doubtful = was_doubtful or bool(process.journal.failure)

    # Disk.

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

    # Life and death.

    def start(self) -> None:
        machine = self.dice.choice(self.machines)
        joining = [process for process in machine.processes if process.journal is None]
        if joining:
            self.send(joining[0], 0, joining[0].boot)
        elif not machine.processes or (self.dice.random() < 0.05 and len(machine.processes) < 2):
            self.begin_process(machine)

    def begin_process(self, machine: Machine) -> Process:
        self.count += 1
        process = self.process_type(self.count, machine.node, machine.disk, lambda: self.now_s)
        machine.processes.append(process)
        self.home[process] = machine
        self.note(process, "starts")
        self.send(process, 0, process.boot)
        return process

    def kill(self) -> None:
        machine = self.dice.choice(self.machines)
        if machine.processes:
            self.bury(machine, self.dice.choice(machine.processes))

    def bury(self, machine: Machine, process: Process) -> None:
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

    def cut_power(self) -> None:
        self.cut(self.dice.choice(self.machines))

    def cut(self, machine: Machine) -> None:
        self.note(machine.node, "power cut")
        for process in list(machine.processes):
            self.bury(machine, process)
        self.doubt(machine, None)
        for epoch in machine.lied_to:
            self.office.seq_free.add((machine.node, epoch))
            self.doubt(machine, epoch, is_sure_too=True)
        machine.disk = machine.disk.image(is_power_cut=True)

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
                self.backup = self.office.restored_copy()  # type: ignore[assignment]

    def restore(self) -> None:
        """A machine, or rarely the centre, begins again from what it was some time ago."""
        machine = self.dice.choice(self.machines)
        if self.backup is not None and self.dice.random() < 0.2:
            self.note("the centre is restored")
            self.office, self.backup = self.backup, None
            self.has_lost_books = True
        elif machine.snapshot is not None:
            self.note(machine.node, "restored")
            self.cut(machine)
            machine.disk, machine.snapshot = machine.snapshot, None
            self.has_restored_disk = True
            for generation in machine.generations.values():
                generation.is_exempt = True
            self.office.seq_free.update(at for at in self.office.epochs if at[0] == machine.node)

    # Time.

    def tick(self) -> None:
        self.now_s += self.dice.choice((0.3, 1.0, 1.0, 3.0, 3.0, 10.0, 40.0, 130.0, 400.0, 950.0))

    def step_wall_clock(self) -> None:
        self.wall_ms += self.dice.choice((-3_600_000, -5_000, 5_000, 3_600_000))

    def top_up(self) -> None:
        account = self.dice.choice(("acme", "tiny"))
        self.office.open_account(account, self.dice.choice((1_000, 100_000)))

    # Messages.

    def send(self, process: Process, talk: int, body: Any, wallet: Wallet | None = None) -> None:
        message = Message(process, talk, body, self.now_s, wallet, False)
        if self.dice.random() < 0.5:
            self.arrive(message)
            if self.dice.random() < 0.9:
                self.arrive(self.net.pop())
        else:
            self.net.append(message)

    def send_acquire(self, process: Process, wallet: Wallet, demand_nano: int, min_nano: int) -> None:
        self.send(process, 0, process.acquire(wallet, demand_nano, min_nano), wallet)

    def give_back(self, process: Process, wallet: Wallet) -> None:
        wallet.begin_return(process.next_id())
        for return_id, amount_nano in tuple(wallet.returning.items()):
            body = Return(process.node, process.epoch, return_id, wallet.purse, amount_nano)
            self.send(process, 0, body, wallet)

    def tend(self) -> None:
        process = self.some_process()
        if process is None:
            return
        self.acted = process
        for wallet in list(process.wallets.values()):
            if wallet.idle_nano(self.now_s) or wallet.returning:
                self.give_back(process, wallet)
            elif wallet.is_forgettable(self.now_s) and not process.overage_nano.get(wallet.purse) and wallet.ask is None:
                del process.wallets[wallet.purse]
                process.forgotten_nano[wallet.purse] = process.forgotten_nano.get(wallet.purse, 0) + wallet.lease.granted_nano
            elif wallet.wants_renewal(self.now_s) and not process.is_fenced and not process.is_draining:
                self.send_acquire(process, wallet, 0, 1)

    def ship(self) -> None:
        process = self.some_process()
        if process is None:
            return
        for lane in tuple(process.lanes):
            if id(lane) not in process.busy:
                self.open_talk(process, lane)

    def open_talk(self, process: Process, lane: Lane) -> bool:
        """False when this lane has nothing to say."""
        coroutine = self.within(process, lambda: process.speak(lane))
        if coroutine is None:
            return False
        self.count += 1
        process.talks[self.count] = coroutine
        process.busy[id(lane)] = self.count
        self.go_on(process, self.count, lambda: coroutine.send(None))
        return True

    def go_on(self, process: Process, talk: int, move: Callable[[], Any]) -> None:
        """Move a coroutine of a process to its next message or its end."""
        try:
            body = self.within(process, move)
        except StopIteration:
            body = None
        except (OSError, Unreachable, Refused):
            body = None
        if body is not None:
            self.send(process, talk, body)
            return
        ended = process.talks.pop(talk, None)
        if ended is not None:
            ended.close()
        for lane, busy in list(process.busy.items()):
            if busy == talk:
                del process.busy[lane]
        if process.is_gone and not process.is_dead:
            self.retire(process)

    def retire(self, process: Process) -> None:
        self.note(process, "is closed")
        machine = self.home[process]
        process.die()
        machine.processes.remove(process)
        machine.disk.kill(process)

    def time_out(self) -> None:
        """A process stops waiting for an answer."""
        process = self.some_process()
        if process is None:
            return
        for wallet in process.wallets.values():
            if wallet.ask is not None and wallet.exhausted is None:
                wallet.lose(self.now_s)
        if process.talks:
            talk = self.dice.choice(list(process.talks))
            self.give_up(process, talk)

    def give_up(self, process: Process, talk: int) -> None:
        coroutine = process.talks[talk]
        self.go_on(process, talk, lambda: coroutine.throw(Unreachable("no answer")))

    def deliver(self) -> None:
        net = self.net
        if not net:
            self.begin_request()
            return
        dice = self.dice
        at = int(dice.random() * len(net))
        message = net[at]
        roll = dice.random()
        if roll >= 0.08:
            net[at] = net[-1]
            net.pop()
        if roll < 0.92:
            self.arrive(message)

    def arrive(self, message: Message) -> None:
        if message.is_reply:
            self.arrive_at_edge(message)
            return
        self.office.clock_ms = self.wall_ms + int(self.now_s * 1000)
        try:
            reply: Any = ANSWERS[type(message.body)](self.office, message.body)
        except Refused as refused:
            reply = refused
        answer = Message(message.process, message.talk, reply, message.sent_s, message.wallet, True)
        answer.about = message.body
        self.net.append(answer)

    def arrive_at_edge(self, message: Message) -> None:
        process, reply = message.process, message.body
        if message.talk:
            coroutine = process.talks.get(message.talk)
            if coroutine is not None:
                if isinstance(reply, Refused):
                    self.go_on(process, message.talk, lambda: coroutine.throw(reply))
                else:
                    self.go_on(process, message.talk, lambda: coroutine.send(reply))
        elif process.is_dead:
            return
        elif isinstance(reply, Refused):
            process.is_fenced = process.is_fenced or reply.code == "fenced"
        elif message.wallet is None:
            self.join(process, reply)
        else:
            self.answer_wallet(process, message)

    def answer_wallet(self, process: Process, message: Message) -> None:
        self.acted = process
        reply, wallet = message.body, message.wallet
        assert wallet is not None
        if process.wallets.get(wallet.purse) is not wallet:
            return
        granted = getattr(reply, "granted", None)
        if granted is not None:
            process.on_grant(granted, message.sent_s)
        elif hasattr(reply, "exhausted_by"):
            wallet.refuse(reply.available_nano, reply.exhausted_by, self.now_s)
        else:
            wallet.end_return(message.about.return_id)

    def join(self, process: Process, booted: Any) -> None:
        if process.journal is not None:
            return
        try:
            self.within(process, lambda: process.join(booted))
        except (EpochInUse, OSError):
            process.boots += 1
            process.disk.kill(process)

    # Judgement.

    def check(self) -> None:
        if self.office.changed:
            self.office.check()
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
        sums = self.office.sums
        if self.has_lost_books:
            return
        late_nano = sums["late"]
        if sums["beyond"] - late_nano > self.overage_nano:
            raise Violation(f"{sums['beyond']} was paid beyond leases; providers went {self.overage_nano} beyond holds")
        if late_nano and not self.has_restored_disk:
            raise Violation(f"{late_nano} of late facts, and no disk was restored")

    def check_wallets(self, process: Process) -> None:
        """The edge's lease is what the centre granted: no more, and no less but what is on its way."""
        office = self.office
        for wallet in process.wallets.values():
            lease = wallet.lease
            over_nano = lease.settled_nano + lease.held_nano - lease.granted_nano
            if over_nano > process.overage_nano.get(wallet.purse, 0):
                raise Violation(f"{process} {wallet} is over by {over_nano}")
            row = office.lease_row(process.node, process.epoch, wallet.purse)
            at_centre_nano = row.granted_nano - row.returned_nano if row is not None else 0
            if office.epochs[process.node, process.epoch].state != "open":
                continue
            known = office.grants.get(wallet.ask.grant_id) if wallet.ask is not None else None
            coming_nano = known[2].granted_nano if known is not None else 0
            going_nano = sum(amount for one, amount in wallet.returning.items() if one not in office.returns)
            here_nano = lease.granted_nano + process.forgotten_nano.get(wallet.purse, 0)
            beyond_nano = at_centre_nano - (here_nano + coming_nano + going_nano)
            if not 0 <= beyond_nano <= process.overage_nano.get(wallet.purse, 0):
                raise Violation(f"{process} {wallet} believes in {here_nano}, the centre in {at_centre_nano}")


def intent_of(generation: Generation) -> Intent:
    return Intent(
        generation.gen_id,
        generation.purse,
        generation.account,
        generation.key_id,
        "m",
        "p",
        "u",
        generation.rates,
        generation.hold_nano,
        generation.prompt_max,
        max(generation.started_ms, 0),
        request_id=generation.gen_id,
    )


def record_of(process: Process, generation: Generation, seq: int) -> UsageRecord:
    return UsageRecord(
        generation.gen_id,
        seq,
        process.node,
        process.epoch,
        generation.account,
        generation.key_id,
        generation.purse,
        "m",
        "p",
        "u",
        generation.tokens,
        generation.rates,
        cost_nano(generation.tokens, generation.rates),
        generation.hold_nano,
        max(generation.started_ms, 0),
        200,
        "completed",
        "provider",
        request_id=generation.gen_id,
    )


ANSWERS: dict[type, Callable[[Any, Any], Any]] = {
    Boot: lambda office, body: office.boot(body),
    Acquire: lambda office, body: office.acquire(body),
    Batch: lambda office, body: office.ingest(body),
    Return: lambda office, body: office.give_back(body),
    Close: lambda office, body: office.close(body),
}
