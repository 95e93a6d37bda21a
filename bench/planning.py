"""`scripts/bench --planning`: what it costs to find who is asked, over a table of 500 models at 40 providers.

Rule: a row is what a request pays, microseconds of a thread's CPU, the least and the median of ROUNDS runs of CALLS; the garbage
collector is off, as it nearly is where requests run. Limits: on a machine that does other things the least is what the code
costs, the median what it cost that day.
"""

import gc
import json
import statistics
import time
from collections.abc import Callable, Sequence

import msgspec

from routing.plan.plan import Plan, Routes
from routing.plan.preferences import Preferences, read_preferences
from routing.table.config import parse
from routing.wire.members import Members

MODELS, PROVIDERS = 500, 40
ROUNDS, CALLS = 9, 3_000
WITH_OBJECT_US_MAX = 15.0
"""What a caller's `provider` object may cost, read and planned."""


class PlanningRow(msgspec.Struct, frozen=True):
    """Microseconds of one call."""

    what: str
    least_us: float
    median_us: float


def table() -> str:
    """40 providers with the same 500 models, each model also called by an id of its own that leads to all of them."""
    lines = ['[providers.p00]\nbase_url = "https://p00.example/v1"\napi_key = "env:P00"']
    lines += [
        f'[providers.p00.models.m{model}]\ninput = "{1 + model % 7}"\noutput = "{2 + model % 5}"\ncontext_tokens = 128_000'
        for model in range(MODELS)
    ]
    lines += [
        f'[providers.p{number:02}]\nlike = "p00"\nbase_url = "https://p{number:02}.example/v1"\napi_key = "env:P{number:02}"'
        for number in range(1, PROVIDERS)
    ]
    for model in range(MODELS):
        targets = ", ".join(f'{{ to = "p{number:02}/m{model}" }}' for number in range(PROVIDERS))
        balance = "weighted" if model % 2 else "in_order"
        lines.append(f'[routes."m{model}"]\ntargets = [{targets}]\nbalance = "{balance}"')
    return "\n".join(lines)


OBJECTS: tuple[dict[str, object], ...] = (
    {"order": ["p07", "p03"], "allow_fallbacks": True},
    {"only": ["p01", "p02", "p03", "p04"]},
    {"ignore": ["p00"], "max_price": {"prompt": 7.5, "completion": 6.5}},
    {"sort": "price"},
)


def measure() -> list[PlanningRow]:
    """Every row."""
    config = parse(table())
    routes = Routes(config, frozenset(ref for provider in config.providers.values() for ref in provider.key_refs))
    raws = [msgspec.Raw(json.dumps(each).encode()) for each in OBJECTS]
    known = [_wishes(raw) for raw in raws]
    ids = [f"p{number % PROVIDERS:02}/m{number % MODELS}" for number in range(CALLS)]
    ordered = [f"m{2 * number % MODELS}" for number in range(CALLS)]
    weighted = [f"m{(2 * number + 1) % MODELS}" for number in range(CALLS)]

    def plain(number: int) -> object:
        return routes.plan(ids[number], (), {}, 0.0, 0.4)

    def in_order(number: int) -> object:
        return routes.plan(ordered[number], (), {}, 0.0, 0.4)

    def by_weight(number: int) -> object:
        return routes.plan(weighted[number], (), {}, 0.0, number / CALLS)

    def wished(number: int) -> object:
        return routes.plan_with(ordered[number], known[number & 3], (), {}, 0.0, 0.4)

    def read_and_wished(number: int) -> object:
        return routes.plan_with(ordered[number], _wishes(raws[number & 3]), (), {}, 0.0, 0.4)

    rows = (
        ("a provider's model: one look-up", plain),
        ("a route of 40 targets, in order", in_order),
        ("a route of 40 targets, by weight", by_weight),
        ("the same route in order, with a caller's `provider` object, planned", wished),
        ("the same, the object read from the request as well", read_and_wished),
    )
    return [_row(what, call) for what, call in rows]


def _wishes(raw: msgspec.Raw) -> Preferences:
    members: Members = {"provider": raw}
    wishes = read_preferences(members)
    assert wishes is not None
    return wishes


def _row(what: str, call: Callable[[int], object]) -> PlanningRow:
    assert all(isinstance(call(number), Plan) for number in range(CALLS))
    gc.collect()
    gc.disable()
    seconds = []
    try:
        for _ in range(ROUNDS):
            began_s = time.thread_time()
            for number in range(CALLS):
                call(number)
            seconds.append(time.thread_time() - began_s)
    finally:
        gc.enable()
    each_us = [one / CALLS * 1e6 for one in seconds]
    return PlanningRow(what, round(min(each_us), 2), round(statistics.median(each_us), 2))


METHOD = """\
# What planning costs

Made by `scripts/bench --planning` on {now}: {models} models at {providers} providers, and a route over all {providers} for each.
Microseconds of CPU of one call, over {calls:,} different ids: the least and the median of {rounds} runs. With a caller's
`provider` object it may be {bound:g} µs. A row holds while all is well; what is closed is led around beside it.

| what | least | median |
|---|---:|---:|
"""


def report(rows: Sequence[PlanningRow]) -> str:
    """Method and table."""
    head = METHOD.format(
        now=time.strftime("%Y-%m-%d %H:%M"),
        models=MODELS,
        providers=PROVIDERS,
        calls=CALLS,
        rounds=ROUNDS,
        bound=WITH_OBJECT_US_MAX,
    )
    return head + "".join(f"| {row.what} | {row.least_us:.2f} | {row.median_us:.2f} |\n" for row in rows)
