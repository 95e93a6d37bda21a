"""A table is replaced only by one that has settled, reads, is plausible and was proved; the last good one serves on else."""

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from edge.providers.reload import LOGGED_LINES_MAX, Outcome, Reloader, Sources, read_sources
from edge.providers.resolver import LazyUpstream
from edge.providers.table import Table
from edge.upstream.pool import NativeUpstream
from edge.write_batch import WriteBatch
from routing.plan.plan import Plan
from routing.request.envelope import read
from routing.table.config import Config

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
        last = await folder.reloader.check(last)
    return folder.reloader.outcome


async def test_reload_waits_until_two_looks_are_equal(folder: Folder) -> None:
    """A file that changes between two looks is being written: what stands there for one look is never used."""
    last = await folder.reloader.check(None)
    for price in (3, 4, 5):
        folder.write(price)
        last = await folder.reloader.check(last)
        assert folder.price == 1
    await folder.reloader.check(last)
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


async def test_reload_of_a_file_with_many_mistakes_is_logged_in_a_few_lines(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    """Each worker logs it: the log has the first ones and where all are told; the outcome has all."""
    folder.path.write_text("".join(f"[providers.p{number}]\nkind = 1\n" for number in range(50)))
    outcome = await looks(folder)
    count = len(outcome.problem.splitlines())
    assert count >= 50
    (logged,) = [record.getMessage() for record in caplog.records if "is not used" in record.getMessage()]
    *first, last = logged.splitlines()
    assert logged.startswith(f"{folder.path} is not used, the last good one keeps serving: it is wrong:")
    assert first[1:] == outcome.problem.splitlines()[1:LOGGED_LINES_MAX]
    assert last == f"and {count - LOGGED_LINES_MAX} lines more: tollway check {folder.path}"


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
    last = await folder.reloader.check(None)
    folder.key.write_text("")
    await folder.reloader.check(last)
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


def rename_over(path: Path, text: str) -> None:
    """As editors and `install` do: a new file takes the name."""
    path.with_name("new").write_text(text)
    path.with_name("new").replace(path)


def write_in_place(path: Path, text: str) -> None:
    """As through a mount of the file itself, where the inode stays."""
    inode = path.stat().st_ino
    with path.open("r+") as file:
        file.write(text)
        file.truncate()
    assert path.stat().st_ino == inode


def write_unnoticed(path: Path, text: str) -> None:
    """As a restore, or an edit on a coarse clock: size and time are those of before."""
    times = path.stat()
    assert len(text) == times.st_size
    path.write_text(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def swap_link(path: Path, text: str) -> None:
    """As Kubernetes does with ConfigMaps and Secrets: path -> ..data/name, ..data -> a folder of one version."""
    folder = path.parent
    version = folder / f"..version-{len(list(folder.iterdir()))}"
    version.mkdir()
    for other in folder.iterdir():
        if other.is_symlink() and other.is_file():
            (version / other.name).write_text(other.read_text())
    (version / path.name).write_text(text)
    (folder / "..data_tmp").symlink_to(version.name)
    (folder / "..data_tmp").replace(folder / "..data")
    if not path.is_symlink():
        path.unlink()
        path.symlink_to(Path("..data") / path.name)


EDITS = [rename_over, write_in_place, write_unnoticed, swap_link]


@pytest.mark.parametrize("edit", EDITS)
async def test_reload_of_any_kind_of_edit(folder: Folder, edit: Callable[[Path, str], None]) -> None:
    """The table, a secret alone, certificates alone: however the file was changed, twice, it is used."""
    authorities = folder.path.with_name("ca.pem")
    first, second = (trustme.CA().cert_pem.bytes().decode() for _ in range(2))
    authorities.write_text(first.ljust(3_000))
    table = folder.path.read_text().replace('api_key = "none"', f'api_key = "none"\nca_file = "{authorities}"')
    folder.path.write_text(table)
    await looks(folder)
    for number in (2, 3):
        edit(folder.path, table.replace('input = "1", output = "2" }\n[', f'input = "{number}", output = "2" }}\n['))
        await looks(folder)
        assert folder.price == number
        edit(folder.key, f"key-num-{number}")
        await looks(folder)
        assert b"key-num-%d" % number in folder.sent_key()
        before = folder.table.sources.certificates
        edit(authorities, (second, first)[number - 2].ljust(3_000))
        await looks(folder)
        assert folder.table.sources.certificates != before
        assert folder.reloader.outcome.succeeded, folder.reloader.outcome


async def test_reload_of_a_slow_writer(folder: Folder) -> None:
    """Who writes line by line is waited for, by the watch and by a reload that was asked for."""
    lines = folder.path.read_text().replace('input = "1"', 'input = "4"', 1).splitlines(keepends=True)
    last = await folder.reloader.check(None)
    folder.path.write_text("")
    for line in lines:
        last = await folder.reloader.check(last)
        with folder.path.open("a") as file:
            file.write(line)
    assert folder.reloader.refused_total == 0
    await folder.reloader.check(await folder.reloader.check(last))
    assert folder.price == 4


async def test_reload_of_a_file_that_is_still_written(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload that was asked for gives up on a file that never settles, and says so."""
    looked = 0

    def changing(path: Path, config: Config) -> Sources:
        nonlocal looked
        looked += 1
        folder.write(looked)
        return read_sources(path, config)

    monkeypatch.setattr("edge.providers.reload.read_sources", changing)
    assert "is still being written" in (await folder.reloader.reload()).problem
    assert folder.price == 1


@pytest.mark.parametrize("cut", [1, 2, 5])
async def test_reload_of_a_torn_file_that_reads(folder: Folder, cut: int) -> None:
    """What a full disk or a kill left may read well, with a shorter price: a last line without an end is told, not used."""
    folder.path.write_text(folder.path.read_text() + "[limits]\nbody_bytes_max = 33_554_432\n")
    await looks(folder)
    whole = folder.path.read_text()
    folder.path.write_text(whole[:-cut])
    outcome = await looks(folder)
    assert f"its last line, {whole.count(chr(10))}, has no end" in outcome.problem
    assert "body_bytes_max" not in outcome.problem  # which may be a header's line, with a secret
    assert folder.table.config.limits.body_bytes_max == 33_554_432
    assert (await folder.reloader.reload(force=True)).succeeded
    folder.path.write_text(whole)
    assert (await looks(folder)).succeeded
    assert folder.table.config.limits.body_bytes_max == 33_554_432


@contextmanager
def no_permission() -> Iterator[None]:
    """As somebody who may not read what this test made; nothing stops root but not being it."""
    try:
        os.seteuid(65_534)
    except OSError:
        pytest.skip("only root can be somebody else, and not in every container")
    try:
        yield
    finally:
        os.seteuid(0)


async def test_reload_without_permission(folder: Folder) -> None:
    """Told, once, and the last good one serves on; with the permission back all is well again, without an edit."""
    with no_permission():
        outcome = await looks(folder, 5)
    assert outcome.problem == "Permission denied"
    assert folder.reloader.refused_total == 1
    assert isinstance(folder.table.plan(ASKED, (), 0.0, 0.0, ""), Plan)
    assert (await looks(folder)).succeeded


@pytest.mark.parametrize("lost", ["removed", "emptied", "replaced by a folder", "given a line too many"])
async def test_reload_without_a_key_that_was_there(folder: Folder, lost: str) -> None:
    """A secret that is gone is no order to do without it: the last one is sent on, and what is missing is told once."""
    content = {"emptied": "\n", "given a line too many": "first\nsecond"}.get(lost)
    folder.key.unlink()
    if content is not None:
        folder.key.write_text(content)
    elif lost != "removed":
        folder.key.mkdir()
    outcome = await looks(folder, 5)
    assert f"file:{folder.key}" in outcome.problem
    assert folder.reloader.refused_total == 1
    assert b"first-key" in folder.sent_key()
    if folder.key.is_dir():
        folder.key.rmdir()
    folder.key.write_text("first-key")
    assert (await looks(folder)).succeeded
    folder.key.write_text("second-key")
    await looks(folder)
    assert b"second-key" in folder.sent_key()


async def test_reload_of_a_table_whose_key_comes_later(folder: Folder) -> None:
    """What a refused table lacked is watched as well, and told once: the file is used as soon as it is there."""
    other, authorities = folder.path.with_name("other"), folder.path.with_name("late.pem")
    text = folder.path.read_text().replace('api_key = "none"', f'api_key = "file:{other}"\nca_file = "{authorities}"')
    authorities.write_text("not yet")
    folder.path.write_text(text)
    outcome = await looks(folder, 6)
    assert "holds no certificates" in outcome.problem
    assert folder.reloader.refused_total == 1
    other.write_text("other-key")
    authorities.write_text(trustme.CA().cert_pem.bytes().decode())
    assert (await looks(folder, 3)).succeeded
    assert folder.table.offered == {f"file:{folder.key}", f"file:{other}"}


async def test_reload_of_a_file_that_is_as_before(folder: Folder) -> None:
    """Who takes a wrong edit back has mended it: the outcome says so."""
    right = folder.path.read_text()
    for wrong in ("", right + "[", right.replace("[providers.a]", "[providers.a")):
        folder.path.write_text(wrong)
        assert not (await looks(folder)).succeeded
        folder.path.write_text(right)
        assert (await looks(folder)).succeeded


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
                whole = folder.table.sources.text
                folder.path.write_bytes(whole[: chance.randrange(1, len(whole))].rstrip(b"\n"))
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
