"""The requests of a world: credit is held, the intent written, the provider works, the record is settled."""

from edge.journal.entries import Intent
from edge.journal.journal import JournalUnavailable
from tests.sim.edge import Generation, Process
from tests.sim.invariants import Violation
from tests.sim.traffic import Traffic
from usage.gen_id import first_of
from usage.pricing import cost_nano, worst_case_nano
from usage.record import Rates, Tokens, UsageRecord

RATES = (Rates(input=150_000, output=600_000), Rates(input=3_000, output=15_333, request=70_000), Rates(request=1_000_000))


class Requests(Traffic):
    """What callers and providers do."""

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
            self.next_gen_id(),
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

    def next_gen_id(self) -> str:
        """As long as a real one: what fits into a segment is as on an edge."""
        return f"{first_of(self.wall_ms)}{self.generations:016d}"

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
        record = self.conclude(process, generation, process.journal.next_seq())
        over_nano = max(record.cost_nano - generation.hold_nano, 0)
        generation.overage_nano = over_nano
        self.overage_nano += over_nano
        self.settled += 1
        self.within(process, lambda: self.write_settlement(process, generation, record))

    def conclude(self, process: Process, generation: Generation, seq: int) -> UsageRecord:
        """The provider has ended: what is charged for."""
        self.grow(generation, is_last=True)
        return record_of(process, generation, seq)

    def write_settlement(self, process: Process, generation: Generation, record: UsageRecord) -> None:
        was_doubtful, generation.is_doubtful = generation.is_doubtful, True
        generation.final_nano = record.cost_nano
        generation.is_sure = False
        process.settle(generation, record)
        assert process.journal is not None
        generation.is_doubtful = was_doubtful or bool(process.journal.failure)


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
