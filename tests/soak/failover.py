"""Failures of providers under load, over real sockets: what can move on is seen by nobody, and what cannot is asked once.

`callers`: each way to fail of tests/edge/failures.py beside something well, in a pool of keys and in an alias. `targets`: one of
three targets is killed and one hangs, in the middle of a load of streams. Tests run both in small, without their figures of time.
"""

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.answers import Answer, Gate, completion, respond, spoken, stream
from tests.edge.failures import BEHAVIOURS, Behaviour
from tests.load import Seen, Shot, fire, shot
from tests.processes import Account, Edge, get, make_account, run
from tests.provider import Provider, Request
from tests.soak.report import Report, percentile

AT_ONCE = 16
PRICED = 'input = "1", output = "2", context_tokens = 100_000, max_output_tokens = 1_000'
ANSWER_NANO = 15_000
"""Nine tokens at 1 dollar for a million and three at 2."""


@dataclass
class House:
    """An edge, an account, and the one provider that plays all of them; `asked`: whom each caller's request went to, in order."""

    edge: Edge
    account: Account
    provider: Provider
    asked: dict[str, list[str]]

    def books_are_whole(self) -> None:
        run(self.edge, "verify")
        assert "Traceback" not in self.edge.log


@contextmanager
def house_of_failures() -> Iterator[House]:
    """For each behaviour a pool `p<n>/m` of an ill and a well key, and an alias `a<n>` of an ill and a well target."""
    with tempfile.TemporaryDirectory(prefix="tollway-failures-") as name, Provider() as provider:
        folder = Path(name)
        for key in ("ill", "well"):
            (folder / key).write_text(f"{key}-key-of-ours")
        ill, well = (f'"file:{folder}/{key}"' for key in ("ill", "well"))
        aliases, sections = [], []
        for number in range(len(BEHAVIOURS)):
            base = f"http://127.0.0.1:{provider.port}/{number}"
            for provider_name, keys in ((f"p{number}", f"[{ill}, {well}]"), (f"i{number}", f"[{ill}]")):
                table = f'base_url = "{base}"\napi_keys = {keys}\nmodels.m = {{ {PRICED} }}\n'
                sections.append(f"[providers.{provider_name}]\n{table}")
            aliases.append(f'a{number} = ["i{number}/m", "well/m"]\n')
        base = f"http://127.0.0.1:{provider.port}/well"
        sections.append(f'[providers.well]\nbase_url = "{base}"\napi_key = {well}\nmodels.m = {{ {PRICED} }}\n')
        asked: dict[str, list[str]] = {}

        def answer(request: Request) -> Answer:
            who = (request.header("authorization") or "").removeprefix("Bearer ").partition("-")[0]
            body = request.json()
            asked.setdefault(body["user"], []).append(who)
            if who == "ill":
                return BEHAVIOURS[int(request.line.split("/")[1])].answer
            return stream(spoken()) if body.get("stream") else respond(completion())

        provider.script_by("m", answer)
        with Edge(folder / "edge", "".join((*sections, "[aliases]\n", *aliases))) as edge:
            yield House(edge, make_account(edge, "caller", "1000.00"), provider, asked)


def mixed(house: House, seed: int, count: int) -> tuple[list[Seen], dict[str, tuple[Behaviour, str]]]:
    """`count` callers, each of a behaviour and a shape drawn by the seed; what each saw, and by name what it had drawn."""
    dice = random.Random(seed)
    drawn: dict[str, tuple[Behaviour, str]] = {}

    def shots() -> Iterator[Shot]:
        for caller in range(count):
            number, model = dice.randrange(len(BEHAVIOURS)), dice.choice(["pool/m", "both"])
            name = f"caller-{caller}"
            drawn[name] = BEHAVIOURS[number], model
            called = f"p{number}/m" if model == "pool/m" else f"a{number}"
            yield shot(name, house.account.key, called, stream=dice.random() < 0.5, max_tokens=8)

    return asyncio.run(fire(house.edge.port, shots(), AT_ONCE)), drawn


def check_mixed(house: House, seen: list[Seen], drawn: dict[str, tuple[Behaviour, str]]) -> Counter[str]:
    """Nobody saw what could have moved on; who could not be served reads the right status; nobody was asked twice; and each
    answer costs what it costs. What became of the callers, counted."""
    found: Counter[str] = Counter()
    for each in seen:
        behaviour, model = drawn[each.shot.name]
        asked = house.asked.get(each.shot.name, [])
        if behaviour.moves(model):
            assert each.is_whole, (behaviour.name, model, each)
        elif not each.is_whole:
            assert each.status == behaviour.status or (each.status, asked) == (503, []), (behaviour.name, model, each)
        assert len(asked) == len(set(asked)), (behaviour.name, model, asked)
        assert each.cost_nano == (ANSWER_NANO if each.is_whole else None), (behaviour.name, model, each)
        found["moved on" if asked == ["ill", "well"] else "answered at once" if each.is_whole else "could not move on"] += 1
    assert len(seen) == len(drawn)
    house.books_are_whole()
    return found


def callers(report: Report, seed: int, count: int) -> None:
    """`count` callers, each with one healthy key or target."""
    with house_of_failures() as house:
        seen, drawn = mixed(house, seed, count)
        found = check_mixed(house, seen, drawn)
        report.say("ways to fail, callers", (len(BEHAVIOURS), len(seen)))
        report.say("what became of them", dict(found))
        report.say("failures that could have moved on and were seen", 0)


PATIENCE_S = 1.0
THREE = """
[routes.three]
targets = ["one/m", "two/m", "three/m"]
policy = "impatient"
[policies.impatient]
first_token_timeout_s = {patience_s}
abandoned = "ours"
breaker = {{ failure_rate = 0.5, window_s = 30 }}
"""


@dataclass
class ThreeTargets:
    """`one` is killed, `two` hangs, `three` stays well."""

    edge: Edge
    account: Account
    one: Provider
    two: Provider
    three: Provider

    def fire(self, name: str, count: int, at_once: int = AT_ONCE) -> list[Seen]:
        shots = (shot(f"{name}-{number}", self.account.key, "three", stream=True, max_tokens=8) for number in range(count))
        return asyncio.run(fire(self.edge.port, shots, at_once))

    def fail(self) -> None:
        self.one.kill()
        self.two.script("m", (Gate("never"),))
        self.two.script("", (Gate("never"),))

    def asked_two(self) -> set[str]:
        """The callers whose request went to the one that hangs."""
        return {request.json()["user"] for request in list(self.two.requests["m"])}

    def probes(self) -> int:
        """How often the one that hangs was asked in the background, by a GET."""
        return len(self.two.requests[""])


@contextmanager
def three_targets(patience_s: float = PATIENCE_S) -> Iterator[ThreeTargets]:
    with (
        tempfile.TemporaryDirectory(prefix="tollway-targets-") as name,
        Provider() as one,
        Provider() as two,
        Provider() as three,
    ):
        sections = [
            f'[providers.{provider_name}]\nbase_url = "{each.base_url}"\napi_key = "none"\nmodels.m = {{ {PRICED} }}\n'
            for provider_name, each in (("one", one), ("two", two), ("three", three))
        ]
        for each in (one, two, three):
            each.script("m", stream(spoken()))
        with Edge(Path(name), "".join(sections) + THREE.format(patience_s=patience_s)) as edge:
            yield ThreeTargets(edge, make_account(edge, "caller", "1000.00"), one, two, three)


def _p99_ms(seen: list[Seen]) -> float:
    return round(percentile([each.seconds for each in seen], 0.99) * 1000, 2)


def targets(report: Report, seed: int, count: int) -> None:
    """`count` streams while all is well; as many from the moment on when one target is killed and one hangs; as many later."""
    with three_targets() as house:
        house.fire("warm", count)
        normal = [*house.fire("normal-a", count), *house.fire("normal-b", count)]
        house.two.forget("m")
        house.fail()
        seen = house.fire("failing", count)
        waited = {each.shot.name for each in seen} & house.asked_two()
        rest = [each for each in seen if each.shot.name not in waited]
        report.say("normal p99 in ms", _p99_ms(normal))
        report.say("streams while one is killed and one hangs, answered whole", (count, sum(each.is_whole for each in seen)))
        report.say("streams that found out that one hangs, p99 in ms", (len(waited), _p99_ms(seen)))
        report.say("p99 of the rest in ms", _p99_ms(rest))
        later: list[Seen] = []
        while house.probes() < 3:
            later += house.fire(f"later-{len(later)}", count)
        extra = house.asked_two() - waited
        report.say("streams afterwards, answered whole", (len(later), sum(each.is_whole for each in later)))
        report.say("of them asked of the one that hangs; its trials in the background", (len(extra), house.probes()))
        report.say("p99 afterwards in ms", _p99_ms(later))
        assert all(each.is_whole for each in (*seen, *later))
        assert not extra
        assert _p99_ms(later) <= 1.5 * _p99_ms(normal)
        metrics = get(house.edge.admin_port, "/metrics").body.decode()
        report.say("abandoned at our cost", [line for line in metrics.splitlines() if line.startswith("tollway_abandoned")])
        run(house.edge, "verify")
