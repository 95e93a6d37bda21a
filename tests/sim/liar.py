"""A world whose providers lie about what they counted, and whose collector refuses a record now and then.

Rule: whatever is claimed, a generation costs at most its worst case and what `routing.metering.bounds` tolerates; what no account
can pay is absorbed by a named term; and no edge is left with a wallet of which the collector tells another story
(`tests.sim.ending`).
"""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from routing.metering.bounds import REASONING_BEYOND_MAX, TokenBounds
from routing.metering.meter import Meter
from routing.table.tariff import Tariff
from tests.sim.edge import Generation, Process
from tests.sim.invariants import Violation
from tests.sim.requests import record_of
from tests.sim.world import World
from usage.pricing import cost_nano, worst_case_nano
from usage.record import Tokens, UsageRecord

NUMBERS: tuple[Any, ...] = (0, -35, 1, 3, 50, 10**6, 2**40, 2**70, 1e300, 7.0, None, "12", [], True)
MEMBERS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
)
PARTS = ("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", "reasoning_tokens")
GHOST = "nobody"
"""A key that no collector knows: its record is refused."""


class LyingWorld(World):
    """Half of the providers tell the truth, a quarter a part of it, a quarter anything."""

    def conclude(self, process: Process, generation: Generation, seq: int) -> UsageRecord:
        self.grow(generation, is_last=False)
        bounds = TokenBounds(generation.prompt_max, generation.completion_max)
        meter = self.meter_of(generation, bounds)
        self.tell(meter, generation.tokens)
        generation.tokens = meter.tokens
        most_nano = worst_case_nano(
            bounds.prompt_ceiling, bounds.completion_ceiling(REASONING_BEYOND_MAX), generation.rates, bounds.searches_max
        )
        if cost_nano(generation.tokens, generation.rates) > most_nano:
            raise Violation(f"{generation} is charged beyond all that is possible, {most_nano}")
        record = record_of(process, generation, seq)
        # A power cut may take a settlement whose progress mark was higher: then the mark is charged, and the lease may have given
        # the difference back. That, too, is overage.
        self.overage_nano += max(max(generation.marks, default=0) - record.cost_nano, 0)
        if self.dice.random() < 0.04:
            generation.is_exempt = True
            record = msgspec.structs.replace(record, key_id=GHOST)
        return record

    def meter_of(self, generation: Generation, bounds: TokenBounds) -> Meter:
        return Meter(Tariff(generation.rates), -(-generation.prompt_max // 4), "auto", bounds)

    def tell(self, meter: Meter, truth: Tokens) -> None:
        """Text goes through, and usage objects between it."""
        dice = self.dice
        honest: dict[str, Any] = {
            "prompt_tokens": truth.prompt,
            "completion_tokens": truth.completion,
            "total_tokens": truth.total,
        }
        claims = [honest]
        mood = dice.random()
        if mood > 0.5:
            claims = [{name: value for name, value in honest.items() if dice.random() < 0.6} for _ in range(dice.randint(0, 3))]
        if mood > 0.75:
            claims += [self.lie() for _ in range(dice.randint(1, 3))]
            dice.shuffle(claims)
        text = [b'{"content":"word"}'] * truth.completion
        for claim in claims:
            at = len(text) if claim is honest else dice.randint(0, len(text))
            for event in text[:at]:
                meter.observe_text(event)
            del text[:at]
            meter.observe_usage(json.dumps(claim).encode())
        for event in text:
            meter.observe_text(event)

    def lie(self) -> dict[str, Any]:
        dice = self.dice
        told: dict[str, Any] = {name: dice.choice(NUMBERS) for name in MEMBERS if dice.random() < 0.5}
        for name in ("prompt_tokens_details", "completion_tokens_details"):
            if dice.random() < 0.4:
                told[name] = {part: dice.choice(NUMBERS) for part in PARTS if dice.random() < 0.5}
        return told


class Believing(LyingWorld):
    """A claim is taken at its word."""

    def meter_of(self, generation: Generation, bounds: TokenBounds) -> Meter:
        return super().meter_of(generation, TokenBounds())


class Unforgiving(Process):
    """A record that the collector refused stays spent at the edge."""

    def unsettle(self, records: Iterable[UsageRecord]) -> None:
        pass


class Forgiving(Process):
    """What a refused record cost comes back twice."""

    def unsettle(self, records: Iterable[UsageRecord]) -> None:
        super().unsettle(records)
        super().unsettle(records)


class OutOfStep(LyingWorld):
    process_type = Unforgiving


class GivenBackTwice(LyingWorld):
    process_type = Forgiving


LIARS: dict[str, type[World]] = {
    "claims believed": Believing,
    "a refused record stays spent": OutOfStep,
    "a refused record comes back twice": GivenBackTwice,
}
