"""Trials in the background: who is asked, with what, and that callers notice nothing but the recovery."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic

import msgspec
import pytest

from edge.providers.resolver import LazyUpstream
from edge.providers.table import Table
from edge.providers.trials import Trials, ask
from edge.upstream.httpx_transport import HttpxUpstream
from edge.upstream.pool import NativeUpstream
from edge.write_batch import WriteBatch
from routing.routes.restoration import RESTORE_S, Restoration
from tests.answers import Answer, End, completion, respond
from tests.edge.relay.test_failover import FailoverRig
from tests.edge.rig import reread
from tests.patience import until
from tests.provider import Provider, Request

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture
async def rig(tmp_path: Path, provider: Provider) -> AsyncIterator[FailoverRig]:
    async with FailoverRig(tmp_path, provider) as built:
        yield built


def over(rig: FailoverRig) -> str:
    """The time of what is closed is over now; its scope."""
    (scope,) = rig.health
    rig.health[scope] = msgspec.structs.replace(rig.health[scope], open_until_s=monotonic() - 1.0)
    return scope


def lists(rig: FailoverRig, answer: Answer) -> list[Request]:
    """The provider answers a GET so; what it was asked."""
    asked: list[Request] = []

    def listing(request: Request) -> Answer:
        asked.append(request)
        return answer

    rig.provider.script_by("", listing)
    return asked


async def test_dead_key_is_tried_at_no_cost(rig: FailoverRig) -> None:
    """`GET /models` with that key; while it is refused no caller's request goes there; when it is taken, one does."""
    rig.script(respond(b"", 401))
    trials = Trials(rig.table, rig.tasks)
    for _ in range(20):
        assert (await rig.request("pool/m")).status == 200
    assert rig.asked.count("ill") == 1
    trials.check()
    assert not rig.table.due(monotonic())
    scope = over(rig)
    asked = lists(rig, respond(b"", 401))
    trials.check()
    trials.check()
    await until(lambda: rig.health[scope].next_free_s)
    assert [request.line for request in asked] == ["GET /ill/models HTTP/1.1"]
    assert asked[0].header("authorization") == "Bearer ill-key-of-ours"
    assert asked[0].body == b""
    for _ in range(20):
        assert (await rig.request("pool/m")).status == 200
    assert rig.asked.count("ill") == 1
    rig.health[scope] = msgspec.structs.replace(rig.health[scope], next_free_s=0.0)
    lists(rig, respond({"data": []}))
    trials.check()
    await until(lambda: rig.health[scope].is_proved)
    rig.script(respond(completion()))
    while rig.health[scope].restoration is None:
        assert (await rig.request("pool/m")).status == 200
    assert rig.asked.count("ill") == 2
    (back,) = rig.table.returning(monotonic())
    assert (back["provider"], back["key"], back["model"]) == ("pool", f"file:{rig.folder}/ill", "")
    assert 0.1 <= float(str(back["part"])) <= 1.0
    assert rig.table.resting(monotonic()) == []
    rig.health[scope] = msgspec.structs.replace(rig.health[scope], restoration=Restoration(monotonic() - RESTORE_S))
    assert not rig.table.due(monotonic())
    assert rig.health == {}, "what has come back whole is forgotten"


@pytest.mark.parametrize("answer", [respond(b"", 500), (End(),), (b"nonsense\r\n", End())], ids=["500", "closed", "no HTTP"])
async def test_lone_target_is_tried_by_callers_too(rig: FailoverRig, answer: Answer) -> None:
    """A free trial that fails closes nothing: where nothing else is left, a caller's request is the trial."""
    rig.script(respond(b"", 401))
    assert (await rig.request("lone/m")).status == 502
    scope = over(rig)
    lists(rig, answer)
    Trials(rig.table, rig.tasks).check()
    await until(lambda: rig.health[scope].next_free_s)
    rig.script(respond(completion()))
    assert (await rig.request("lone/m")).status == 200
    assert rig.health[scope].restoration is not None
    assert (await rig.request("lone/m")).status == 200, "alone it is asked as ever"


async def test_trials_run_by_themselves(rig: FailoverRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """One supervised task does all of it, and ends when it is told to."""
    monkeypatch.setattr("edge.providers.trials.LOOK_S", 0.01)
    rig.script(respond(b"", 401))
    assert (await rig.request("lone/m")).status == 502
    scope = over(rig)
    lists(rig, respond(b"", 404))
    running = rig.tasks.spawn("trials", Trials(rig.table, rig.tasks).run())
    await until(lambda: rig.health[scope].is_proved)
    running.cancel()


async def test_trial_over_httpx(rig: FailoverRig) -> None:
    """The other transport asks the same."""
    asked = lists(rig, respond({"data": []}))
    upstream = HttpxUpstream()
    (resolved, *_) = rig.table._resolved_chat.values()
    assert await ask(msgspec.structs.replace(resolved, upstream=upstream)) is None
    assert [request.line for request in asked] == ["GET /ill/models HTTP/1.1"]
    await upstream.aclose()


async def test_key_that_is_gone_is_not_tried(rig: FailoverRig) -> None:
    """The health of a key that stands in no table any more is forgotten."""
    rig.script(respond(b"", 401))
    assert (await rig.request("lone/m")).status == 502
    (rig.folder / "ill").write_text("another")
    reread(rig.table, rig.folder / "providers.toml")
    assert rig.health == {}
    assert isinstance(Table(rig.folder / "providers.toml", rig.native, LazyUpstream()).due(0.0), list)


@pytest.mark.parametrize(
    ("serves", "base", "asked_at", "header"),
    [
        ('["chat"]', "/v1", "/v1/models", ("authorization", "Bearer secret")),
        ('["messages"]', "/v1", "/v1/models", ("x-api-key", "secret")),
        ('["gemini", "chat"]', "/v1beta", "/v1beta/models", ("x-goog-api-key", "secret")),
        ('["embeddings"]', "/v1", "/v1/models", ("authorization", "Bearer secret")),
    ],
)
async def test_trial_authenticates_as_the_provider_has_it(
    rig: FailoverRig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    serves: str,
    base: str,
    asked_at: str,
    header: tuple[str, str],
) -> None:
    """A provider that does not speak Chat is tried as its own format authenticates: it would refuse the right key otherwise, and
    rest for good."""
    monkeypatch.setenv("TRIED_KEY", "secret")
    file = tmp_path / "native.toml"
    origin = f"http://127.0.0.1:{rig.provider.port}{base}"
    file.write_text(
        f'[providers.p]\nbase_url = "{origin}"\napi_key = "env:TRIED_KEY"\nserves = {serves}\n'
        'unlisted = { input = "1", output = "2" }\n'
    )
    native = NativeUpstream(WriteBatch())
    table = Table(file, native, LazyUpstream())
    asked = lists(rig, respond(b'{"data":[]}'))
    assert await ask(table.trials["p", "env:TRIED_KEY"]) is None
    await native.aclose()
    (request,) = asked
    assert request.line == f"GET {asked_at} HTTP/1.1"
    assert request.header(header[0]) == header[1]
    if header[0] == "x-api-key":
        assert request.header("anthropic-version") == "2023-06-01"
        assert request.header("authorization") is None
