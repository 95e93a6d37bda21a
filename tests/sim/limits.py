"""A limit shared by simulated edges: Poisson callers, a network with delay, loss, repetition and partitions, and the real
transitions of both ends (`edge.limits.quota`, `collector.limits.shared`). Clock and dice belong to the world.

`worst` is the most that was admitted in any 60 s. A design is a class with the methods of `GreenStrict`; the naive ones stand in
`tests/sim/wrong_limits.py`.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from collector.limits.shared import SharedLimit
from edge.limits.quota import Quota
from usage.limit import LimitReport, LimitShare

ASK_S = 0.2
TELL_S = 1.0
WAIT_S = 0.5


class Case(msgspec.Struct, frozen=True):
    """`load` is offered per minute as a multiple of the limit. `partition`: (edge, from, to) in seconds."""

    limit: int
    edges: int
    load: float
    seconds: int = 240
    rtt_s: float = 0.1
    loss: float = 0.0
    cost: Callable[[random.Random], int] = lambda dice: 1
    partition: tuple[int, float, float] | None = None
    restart_s: float | None = None
    is_hard: bool = False
    is_skewed: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """`served` and `worst` as multiples of the limit; `refused` as a share of what was offered; messages per request."""

    served: float
    worst: float
    refused: float
    messages: float


class GreenStrict:
    """Ours."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.quotas = [Quota("key:k", "requests", case.limit, 0.0, is_hard=case.is_hard) for _ in range(case.edges)]
        self.shared = SharedLimit(case.limit, -10.0)

    def admit(self, edge: int, cost: int, now_s: float, *, is_away: bool) -> bool:
        quota = self.quotas[edge]
        if quota.may(cost, now_s, is_away=is_away):
            quota.take(cost, now_s, is_away=is_away)
            return True
        return False

    def refuse(self, edge: int, cost: int, now_s: float) -> None:
        self.quotas[edge].refuse(cost, now_s)

    def is_hopeful(self, edge: int, cost: int, now_s: float) -> bool:
        return self.quotas[edge].is_hopeful(cost, now_s)

    def is_low(self, edge: int) -> bool:
        return self.quotas[edge].is_low

    def report(self, edge: int, now_s: float) -> LimitReport:
        return self.quotas[edge].report(now_s)

    def answer(self, edge: int, report: LimitReport, now_s: float) -> LimitShare:
        return self.shared.answer((str(edge), 1), report, now_s)

    def hear(self, edge: int, share: LimitShare, asked_s: float) -> None:
        self.quotas[edge].apply_share(share, asked_s)

    def restart(self, now_s: float) -> None:
        self.shared = SharedLimit(self.case.limit, now_s)


class World:
    """`run` gives the outcome."""

    def __init__(self, case: Case, seed: int, design: Callable[[Case], Any] = GreenStrict) -> None:
        self.case = case
        self.dice = random.Random(seed)
        self.design = design(case)
        self.now_s = 0.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.number = 0
        self.in_flight = [False] * case.edges
        self.asked_s = [-1.0] * case.edges
        self.away = [False] * case.edges
        self.waiting: list[deque[tuple[float, int]]] = [deque() for _ in range(case.edges)]
        self.admitted: list[tuple[float, int]] = []
        self.offered = self.refused = self.requests = self.messages = 0

    def at(self, when_s: float, what: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.events, (when_s, self.number, what))

    def run(self) -> Outcome:
        case = self.case
        weights = [1.0 / (1 + edge) if case.is_skewed else 1.0 for edge in range(case.edges)]
        mean_cost = sum(case.cost(random.Random(n)) for n in range(500)) / 500
        rate = case.load * case.limit / 60.0 / mean_cost
        for edge in range(case.edges):
            self.arrive_later(edge, rate * weights[edge] / sum(weights))
            self.at(self.dice.random() * TELL_S, lambda edge=edge: self.tell(edge))  # type: ignore[misc]
        if case.restart_s is not None:
            self.at(case.restart_s, lambda: self.design.restart(self.now_s))
        while self.events and self.events[0][0] < case.seconds:
            self.now_s, _, what = heapq.heappop(self.events)
            what()
        return self.outcome()

    def arrive_later(self, edge: int, rate: float) -> None:
        def arrive() -> None:
            self.request(edge, self.case.cost(self.dice))
            self.arrive_later(edge, rate)

        self.at(self.now_s + self.dice.expovariate(rate), arrive)

    def request(self, edge: int, cost: int) -> None:
        self.requests += 1
        self.offered += cost
        if self.try_admit(edge, cost):
            return
        self.design.refuse(edge, cost, self.now_s)
        if not self.away[edge] and self.design.is_hopeful(edge, cost, self.now_s):
            self.waiting[edge].append((self.now_s + WAIT_S, cost))
            self.at(self.now_s + WAIT_S, lambda: self.give_up(edge))
        else:
            self.refused += cost
        self.ask_soon(edge)

    def try_admit(self, edge: int, cost: int) -> bool:
        if not self.design.admit(edge, cost, self.now_s, is_away=self.away[edge]):
            return False
        self.admitted.append((self.now_s, cost))
        if self.design.is_low(edge):
            self.ask_soon(edge)
        return True

    def give_up(self, edge: int) -> None:
        waiting = self.waiting[edge]
        while waiting and waiting[0][0] <= self.now_s:
            _, cost = waiting.popleft()
            if not self.try_admit(edge, cost):
                self.refused += cost

    def tell(self, edge: int) -> None:
        self.ask(edge)
        self.at(self.now_s + TELL_S, lambda: self.tell(edge))

    def ask_soon(self, edge: int) -> None:
        self.at(max(self.now_s, self.asked_s[edge] + ASK_S), lambda: self.ask(edge))

    def ask(self, edge: int) -> None:
        if self.in_flight[edge] or self.now_s - self.asked_s[edge] < ASK_S * 0.99:
            return
        self.in_flight[edge] = True
        self.asked_s[edge] = asked_s = self.now_s
        report = self.design.report(edge, self.now_s)
        self.messages += 1
        if self.is_cut(edge) or self.dice.random() < self.case.loss:
            self.at(self.now_s + WAIT_S, lambda: self.lose(edge))
            return

        def arrive() -> None:
            share = self.design.answer(edge, report, self.now_s)
            if self.dice.random() < self.case.loss / 2:
                share = self.design.answer(edge, report, self.now_s)  # the message came twice
            if self.is_cut(edge) or self.dice.random() < self.case.loss:
                self.at(self.now_s + WAIT_S, lambda: self.lose(edge))
                return
            self.at(self.now_s + self.case.rtt_s / 2, lambda: self.hear(edge, share, asked_s))

        self.at(self.now_s + self.case.rtt_s / 2, arrive)

    def is_cut(self, edge: int) -> bool:
        cut = self.case.partition
        return cut is not None and cut[0] == edge and cut[1] <= self.now_s < cut[2]

    def lose(self, edge: int) -> None:
        self.in_flight[edge], self.away[edge] = False, True
        self.ask_soon(edge)

    def hear(self, edge: int, share: LimitShare, asked_s: float) -> None:
        self.in_flight[edge], self.away[edge] = False, False
        self.design.hear(edge, share, asked_s)
        waiting, self.waiting[edge] = self.waiting[edge], deque()
        for until_s, cost in waiting:
            if self.try_admit(edge, cost):
                continue
            if self.design.is_hopeful(edge, cost, self.now_s):
                self.design.refuse(edge, cost, self.now_s)
                self.waiting[edge].append((until_s, cost))
                self.ask_soon(edge)
            else:
                self.refused += cost

    def outcome(self) -> Outcome:
        case = self.case
        total = sum(cost for _, cost in self.admitted)
        worst = window = 0
        inside: deque[tuple[float, int]] = deque()
        for at_s, cost in self.admitted:
            inside.append((at_s, cost))
            window += cost
            while inside[0][0] <= at_s - 60.0:
                window -= inside.popleft()[1]
            worst = max(worst, window)
        minutes = case.seconds / 60
        return Outcome(
            total / minutes / case.limit,
            worst / case.limit,
            self.refused / max(self.offered, 1),
            self.messages / max(self.requests, 1),
        )
