"""A table is replaced only by one that has settled, reads, is plausible and was proved; the last good one serves on else."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from edge.providers.reload import Outcome, Reloader
from edge.providers.table import LazyUpstream, Table
from edge.upstream.pool import NativeUpstream
from edge.write_batch import WriteBatch
from routing.plan.plan import Plan
from routing.request.envelope import read

pytestmark = pytest.mark.anyio
RIGHT = """
[providers.a]
base_url = "https://a.example"
api_key = "file:{key}"
models.m = {{ input = "{price}", output = "2" }}
[providers.b]
base_url = "https://b.example"
api_key = "none"
models.m = {{ input = "1", output = "2" }}
"""
ASKED = read(b'{"model":"a/m","messages":[{"role":"user","content":"hi"}]}')


class Folder:
    """A table, its file and its secret."""

    def __init__(self, folder: Path) -> None:
        self.path, self.key = folder / "providers.toml", folder / "key"
        self.key.write_text("first-key")
        self.write(1)
        self.table = Table(self.path, NativeUpstream(WriteBatch()), LazyUpstream())
        self.reloader = Reloader(self.path, self.table)

    def write(self, price: int) -> None:
        self.path.write_text(RIGHT.format(key=self.key, price=price))

    @property
    def price(self) -> int:
        return self.table.config.providers["a"].models["m"].rates.input // 1_000_000

    def sent_key(self) -> bytes:
        plan = self.table.plan(ASKED, (), 0.0, 0.0, "")
        assert isinstance(plan, Plan)
        return self.table.resolve(plan.attempts[0]).head


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr("edge.providers.reload.SETTLE_S", 0.001)
    return Folder(tmp_path)


async def looks(folder: Folder, times: int = 2) -> Outcome:
    last = None
    for _ in range(times):
        last = await folder.reloader.look(last)
    return folder.reloader.outcome


async def test_reload_of_equal_size_and_time_is_seen(folder: Folder) -> None:
    """Contents are compared: an edit that keeps size and time is one all the same."""
    times = folder.path.stat()
    folder.write(7)
    os.utime(folder.path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (await looks(folder)).succeeded
    assert folder.price == 7


async def test_reload_waits_until_two_looks_are_equal(folder: Folder) -> None:
    """A file that changes between two looks is being written: what stands there for one look is never used."""
    last = await folder.reloader.look(None)
    for price in (3, 4, 5):
        folder.write(price)
        last = await folder.reloader.look(last)
        assert folder.price == 1
    await folder.reloader.look(last)
    assert folder.price == 5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("[providers.a\n", "it is wrong"),
        ("# nothing\n", "2 of 2 providers would be gone (a, b)"),
        ("providers.c = 1", "it is wrong"),
        ("\0", "it is wrong"),
    ],
)
async def test_reload_of_what_cannot_be_meant_is_refused(folder: Folder, text: str, why: str) -> None:
    """Empty, torn, wrong or without most of its providers: the last good one serves on, and why is told once."""
    folder.path.write_text(text)
    outcome = await looks(folder, 5)
    assert not outcome.succeeded
    assert why in outcome.problem
    assert (folder.price, folder.reloader.refused_total) == (1, 1)
    folder.write(2)
    assert (await looks(folder)).succeeded
    assert folder.price == 2


async def test_reload_of_few_providers_when_it_is_forced(folder: Folder) -> None:
    """Who says so is believed; what is wrong stays wrong."""
    folder.path.write_text(
        '[providers.c]\nbase_url = "https://c.example"\napi_key = "none"\nunlisted = { input = "1", output = "1" }\n'
    )
    refused = await folder.reloader.reload()
    assert "2 of 2 providers would be gone" in refused.problem
    assert "--force" in refused.problem
    forced = await folder.reloader.reload(force=True)
    assert (forced.succeeded, forced.is_changed) == (True, True)
    folder.path.write_text("")
    assert not (await folder.reloader.reload(force=True)).succeeded
    assert "c" in folder.table.config.providers


async def test_reload_of_a_secret_alone(folder: Folder) -> None:
    """A key's file is looked at like the table itself; one that is empty for one look is being written."""
    last = await folder.reloader.look(None)
    folder.key.write_text("")
    await folder.reloader.look(last)
    folder.key.write_text("second-key")
    await looks(folder)
    assert b"second-key" in folder.sent_key()


async def test_reload_of_certificates(folder: Folder, tmp_path: Path) -> None:
    """Certificates that are none are refused, whether the table names them newly or their file has changed."""
    authorities = tmp_path / "ca.pem"
    text = folder.path.read_text().replace('api_key = "none"', f'api_key = "none"\nca_file = "{authorities}"')
    authorities.write_text("none")
    folder.path.write_text(text)
    assert "holds no certificates" in (await folder.reloader.reload()).problem
    assert folder.table.config.providers["b"].ca_file is None


async def test_reload_of_a_file_that_is_away(folder: Folder) -> None:
    """Told, once; and used again when it is back."""
    folder.path.unlink()
    assert "No such file" in (await looks(folder, 4)).problem
    assert folder.reloader.refused_total == 1
    assert "cannot be read" in (await folder.reloader.reload()).problem
    folder.write(9)
    await looks(folder)
    assert folder.price == 9


async def test_reload_many_times_while_requests_are_planned(folder: Folder) -> None:
    """300 reloads, a third of them broken, torn or empty, secrets rotated in between: no plan fails, nothing wrong is used."""
    chance = random.Random(1)
    refused = []

    async def plan_on() -> None:
        while True:
            if not isinstance(folder.table.plan(ASKED, (), 0.0, chance.random(), ""), Plan):
                refused.append(folder.path.read_text())
            await asyncio.sleep(0)

    planning = asyncio.ensure_future(plan_on())
    for number in range(300):
        match number % 6:
            case 0:
                folder.path.write_text("")
            case 1:
                folder.path.write_bytes(folder.path.read_bytes()[: chance.randrange(1, 60)] + b"\n[")
            case 2:
                folder.key.write_text(f"key-{number}")
                folder.write(number)
            case _:
                folder.write(number)
        outcome = await folder.reloader.reload()
        assert outcome.succeeded is (number % 6 > 1)
        if outcome.succeeded:
            assert folder.price == number
    planning.cancel()
    assert refused == []
    assert len(folder.table._resolved_chat) == 3
