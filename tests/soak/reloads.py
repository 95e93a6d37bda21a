"""Reloads of a running edge under load: a third of the files is broken, torn, slow or empty, and secrets are rotated as well."""

import asyncio
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.answers import Answer, completion, respond, spoken, stream
from tests.hostile.beside import resident_mib
from tests.load import Seen, fire, shot
from tests.processes import Account, Edge, ask, get, make_account, run
from tests.provider import Provider, Request
from tests.soak.report import Report

CALLERS = 4
TABLE = """
[providers.one]
base_url = "{base}"
api_key = "file:{key}"
models.m = {{ input = "1", output = "2", context_tokens = 100_000, max_output_tokens = {number} }}
[providers.two]
base_url = "{base}"
api_key = "none"
models.n = {{ input = "1", output = "2" }}
[aliases]
either = ["one/m", "two/n"]
[limits]
body_bytes_max = 33_554_432
"""
ILL = ("broken", "torn", "slow", "empty")


@dataclass
class House:
    """An edge under load from threads of its own; `keys` are those that the provider takes now."""

    edge: Edge
    account: Account
    provider: Provider
    key: Path
    keys: list[str]
    stopped: threading.Event = field(default_factory=threading.Event)
    seen: list[Seen] = field(default_factory=list)

    def load(self) -> None:
        """Callers one after another, a moment apart, until told to stop."""

        async def caller(number: int) -> None:
            while not self.stopped.is_set():
                name = f"caller-{number}-{len(self.seen)}"
                shots = [shot(name, self.account.key, "one/m", stream=number % 2 == 0, max_tokens=8)]
                self.seen += await fire(self.edge.port, shots, 1)
                await asyncio.sleep(0.02)

        async def all_callers() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(CALLERS):
                    group.create_task(caller(number))

        asyncio.run(all_callers())

    def text(self, number: int) -> str:
        return TABLE.format(base=self.provider.base_url, key=self.key, number=1_000 + number)

    def rotate(self, secret: str) -> None:
        """The provider takes the new one and the last; what came before those is revoked."""
        self.keys[:] = [self.keys[-1], secret]
        self.key.write_text(secret)

    def write_slowly(self, text: str) -> None:
        """A writer that takes longer than a reload waits between two looks."""
        path = self.edge.folder / "providers.toml"
        with path.open("w") as file:
            middle = text.index("two]")
            for part in (text[:middle], text[middle:]):
                file.write(part)
                file.flush()
                self.stopped.wait(0.15)

    def reload(self) -> tuple[int, str]:
        """The status, and which version is in force after it."""
        reply = ask(self.edge.admin_port, "POST", "/reload", headers={"x-tollway-control": "1"})
        return reply.status, reply.json()["version"]


@contextmanager
def house_of_reloads() -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="tollway-reloads-") as name, Provider() as provider:
        folder = Path(name)
        key, keys = folder / "key", ["first-key", "key-0"]
        key.write_text("key-0")

        def answer(request: Request) -> Answer:
            provider.forget("m")
            sent = (request.header("authorization") or "").removeprefix("Bearer ")
            if sent not in keys:
                return respond({"error": {"message": "no such key", "code": "invalid_api_key"}}, 401)
            return stream(spoken()) if request.json().get("stream") else respond(completion())

        provider.script_by("m", answer)
        table = TABLE.format(base=provider.base_url, key=key, number=1_000)
        with Edge(folder / "edge", table) as edge:
            house = House(edge, make_account(edge, "caller", "100000.00"), provider, key, keys)
            loading = threading.Thread(target=house.load)
            loading.start()
            try:
                yield house
            finally:
                house.stopped.set()
                loading.join()


def reload_often(house: House, seed: int, count: int) -> Counter[str]:
    """`count` reloads, a third of them of a file that is broken, torn, slow or empty; what was done, counted."""
    dice = random.Random(seed)
    done: Counter[str] = Counter()
    file = house.edge.folder / "providers.toml"
    in_force = house.reload()[1]
    for number in range(1, count + 1):
        text = house.text(number)
        kind = ILL[number // 3 % 4] if number % 3 == 0 else "rotated" if number % 3 == 1 else "edited"
        done[kind] += 1
        if kind == "slow":
            writing = threading.Thread(target=house.write_slowly, args=(text,))
            writing.start()
            house.reload()  # of what the writer has left so far; whatever that is, it fails nobody
            writing.join()
            status, version = house.reload()
        else:
            if kind == "rotated":
                house.rotate(f"key-{number}")
            cut = dice.randrange(1, len(text) - 1)
            whole = {"broken": text.replace("[aliases]", "[aliases"), "torn": text[:cut].rstrip("\n"), "empty": ""}
            file.write_text(whole.get(kind, text))
            status, version = house.reload()
        is_used = kind in ("slow", "rotated", "edited")
        assert (status, version == in_force) == ((200, False) if is_used else (409, True)), (number, kind, status, version)
        in_force = version
        assert house.edge.child is not None
        assert house.edge.child.poll() is None
    return done


def failed(house: House) -> list[Seen]:
    return [each for each in list(house.seen) if not each.is_whole]


def soak(report: Report, seed: int, count: int) -> None:
    """`count` reloads; requests that failed, and the memory after a tenth of them and after all."""
    with house_of_reloads() as house:
        done = reload_often(house, seed, count // 10)
        after_tenth_mib = resident_mib(house.edge.pid)
        before = len(house.seen)
        done += reload_often(house, seed + 1, count - count // 10)
        after_all_mib = resident_mib(house.edge.pid)
        report.say("reloads", dict(done))
        report.say("requests, failed", (len(house.seen), len(failed(house))))
        report.say("requests since the memory was taken first", len(house.seen) - before)
        report.say("resident after a tenth, after all (MiB)", (after_tenth_mib, after_all_mib))
        lines = get(house.edge.admin_port, "/metrics").body.decode().splitlines()
        report.say("what the edge counted", [line for line in lines if line.startswith("tollway_config")])
        assert not failed(house), failed(house)[:3]
        assert after_all_mib <= after_tenth_mib + 8
        run(house.edge, "verify")
