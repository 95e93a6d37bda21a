"""Kills an edge or its collector under load again and again, and holds what is left in the books against what was seen.

Rule: a shot is sent once. What the provider was asked must have exactly one record; what a caller got whole must be charged
at the cost it was told; no two records may be one request's; and the account must have fallen by the sum of the records.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.answers import DONE, Answer, Delay, Step, delta, event, respond, stream, usage_chunk
from tests.answers import completion as whole_completion
from tests.collector_database import Record, query, records
from tests.load import Seen, Shot, fire, shot
from tests.processes import Account, Edge, Process, run
from tests.provider import Provider, Request

MODEL = "crash"
AT_ONCE = 20
WARM_S = 1.5
SETTLED_S_MAX = 30.0
WARM_UP_S = 2.0


@dataclass
class Report:
    """What was seen and kept."""

    kills: int = 0
    sent: int = 0
    asked: int = 0
    answered: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    records: int = 0
    orphans: int = 0
    recovery_s: list[float] = field(default_factory=list)


def answer(request: Request) -> Answer:
    """Half JSON, half a stream of a quarter of a second."""
    if not request.json()["stream"]:
        return (Delay(0.02), *respond(whole_completion(prompt=20, tokens=10)))
    parts: list[Step] = []
    for number in range(10):
        parts += [event(delta(content=f"{number} ")), Delay(0.025)]
    return stream([*parts, event(delta("stop")), event(usage_chunk(20, 10)), DONE])


class Crash:
    """One run. `victim` is killed and started again, under a load on `edge`; `collector` is the process that owns the books."""

    def __init__(self, edge: Edge, collector: Process, victim: Process, provider: Provider, account: Account, seed: int) -> None:
        self.edge, self.collector, self.victim, self.provider, self.account = edge, collector, victim, provider, account
        self.report = Report()
        self._dice = random.Random(seed)
        self._seen: list[Seen] = []
        self._number = 0
        self._is_firing = False
        provider.forget(MODEL)
        provider.script_by(MODEL, answer)

    def run(self, kills: int) -> Report:
        """All kills, then the books. Raises AssertionError where they do not agree."""
        if self.victim is not self.edge:
            # Only a node that holds a lease may not notice: the first requests fill it.
            asyncio.run(self._warm())
        if self.victim is not self.edge:
            asyncio.run(self._warm_up())
        for _ in range(kills):
            asyncio.run(self._kill_once())
        self._settle()
        return self.report

    async def _warm(self) -> None:
        self._is_firing = True
        load = asyncio.get_running_loop().create_task(fire(self.edge.port, self._shots(), AT_ONCE))
        await asyncio.sleep(WARM_S)
        self._is_firing = False
        self._seen += await load

    async def _warm_up(self) -> None:
        """A lease is as large as the recent spend and its peaks; a node that has just begun could not bridge an outage."""
        self._is_firing = True
        load = asyncio.get_running_loop().create_task(fire(self.edge.port, self._shots(), 4 * AT_ONCE))
        await asyncio.sleep(WARM_UP_S)
        self._is_firing = False
        self._seen += await load

    async def _kill_once(self) -> None:
        self._is_firing = True
        load = asyncio.get_running_loop().create_task(fire(self.edge.port, self._shots(), AT_ONCE))
        await asyncio.sleep(self._dice.uniform(0.3, 0.8))
        await asyncio.to_thread(self.victim.kill)
        if self.victim is self.edge:
            self._is_firing = False
            self._seen += await load
            await asyncio.to_thread(self._restart)
            return
        await asyncio.sleep(self._dice.uniform(0.0, 0.5))
        await asyncio.to_thread(self._restart)
        await asyncio.sleep(self._dice.uniform(0.0, 0.5))
        self._is_firing = False
        self._seen += await load

    def _restart(self) -> None:
        self.victim.launch()
        self.report.recovery_s.append(self.victim.wait_ready())
        self.report.kills += 1

    def _shots(self) -> Iterator[Shot]:
        while self._is_firing:
            self._number += 1
            yield shot(f"crash-{self._number}", self.account.key, f"mock/{MODEL}", stream=self._number % 2 == 0, max_tokens=50)

    def _settle(self) -> None:
        """Wait until every request that the provider saw has its record, then compare."""
        asked = Counter(str(request.json()["user"]) for request in self.provider.requests[MODEL])
        assert asked, Counter((seen.status, seen.body[:200]) for seen in self._seen).most_common(3)
        assert max(asked.values()) == 1, "a request was sent to the provider twice"
        ends_s = time.monotonic() + SETTLED_S_MAX
        while asked.keys() - {record.request_id for record in records(self.collector, self.account.name)}:
            if time.monotonic() > ends_s:
                break
            time.sleep(0.2)
        kept = records(self.collector, self.account.name)
        self._note(asked, kept)
        expected = (0, 200, 503) if self.victim is self.edge else (200, 503)
        strange = [seen for seen in self._seen if seen.status not in expected]
        assert not strange, (len(strange), strange[:3], self.edge.log[-2000:])
        ((spent_nano,),) = query(self.collector, "SELECT spent_nano FROM accounts WHERE account = ?", self.account.name)
        compare(asked, kept, [seen for seen in self._seen if seen.is_whole], spent_nano)
        run(self.collector, "verify")

    def _note(self, asked: Counter[str], kept: list[Record]) -> None:
        report = self.report
        report.sent, report.asked = len(self._seen), len(asked)
        report.answered = sum(seen.is_whole for seen in self._seen)
        report.statuses = Counter(seen.status for seen in self._seen)
        report.records = len(kept)
        report.orphans = sum(record.end_reason == "orphaned" for record in kept)


def compare(asked: Counter[str], kept: list[Record], answers: list[Seen], spent_nano: int) -> None:
    """The books against the provider's and the callers' word: AssertionError says what is lost, doubled or charged wrongly."""
    names = Counter(record.request_id for record in kept)
    assert not kept or max(names.values()) == 1, "a request has two records"
    lost = asked.keys() - names.keys()
    assert not lost, f"{len(lost)} requests that the provider saw have no record: {sorted(lost)[:5]}"
    by_name = {record.request_id: record for record in kept}
    for seen in answers:
        record = by_name[seen.shot.name]
        assert (record.gen_id, record.cost_nano) == (seen.gen_id, seen.cost_nano), (record, seen)
    assert spent_nano == sum(record.cost_nano for record in kept), "the account did not fall by the sum of the records"
