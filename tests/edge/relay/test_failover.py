"""Failures over real sockets: what the caller reads, who is asked next, what is charged, what rests until when."""

import os
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic

import pytest

from edge.providers.reload import Reloader
from edge.providers.resolver import LazyUpstream
from edge.providers.table import Table
from edge.upstream import Upstream
from edge.upstream.httpx_transport import HttpxUpstream
from edge.upstream.pool import NativeUpstream
from routing.plan.health import Health
from tests.answers import Answer, Delay, End, Gate, completion, event, head, respond, spoken, stream
from tests.edge.failures import BEHAVIOURS, Behaviour, oai, table
from tests.edge.rig import Caller, Rig, reread
from tests.patience import until
from tests.peers import Line, Peer
from tests.ports import free_port
from tests.provider import Provider, Request
from usage import key

pytestmark = pytest.mark.anyio
IDS = [each.name for each in BEHAVIOURS]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


class FailoverRig(Rig):
    """The rig over real sockets to one scripted provider that plays all of them."""

    def __init__(
        self,
        folder: Path,
        provider: Provider,
        ill_port: int | None = None,
        credit_nano: int = 10**9,
        transport: type[Upstream] = NativeUpstream,
    ) -> None:
        super().__init__(folder, credit_nano=credit_nano)
        self._transport = transport
        self._file = folder / "providers.toml"
        self._file.write_text(table(provider.port, folder, ill_port))
        self.folder = folder
        self.provider = provider
        self.asked: list[str] = []
        """Who was asked, in order: "ill" or "well", by the key it was asked with."""

    async def __aenter__(self) -> "FailoverRig":
        self.native = self._transport()
        self.table = Table(self._file, self.native, LazyUpstream())
        await super().__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await super().__aexit__(*exc)
        await self.native.aclose()

    def script(self, ill: Answer) -> None:
        """The ill key gets this answer, the other a good one of the kind that was asked for."""

        def answer(request: Request) -> Answer:
            who = (request.header("authorization") or "").removeprefix("Bearer ").partition("-")[0]
            self.asked.append(who)
            if who == "ill":
                return ill
            return stream(spoken()) if request.json().get("stream") else respond(completion())

        self.provider.script_by("m", answer)

    async def request(self, model: str, *, streamed: bool = False) -> Caller:
        return await self.run(self.caller(model=model, stream=streamed))

    @property
    def text(self) -> str:
        return self._file.read_text()

    def use(self, text: str) -> None:
        """Another table, at once."""
        self._file.write_text(text)
        reread(self.table, self._file)

    @property
    def health(self) -> dict[str, Health]:
        """What is not well, by the last word of its scope: a provider's name, "" + digest of a key, a model's name."""
        return self.table._health

    def check_rests(self, model: str, behaviour: Behaviour, since_s: float) -> None:
        """What rests is the ill one alone, as wide and until when the table says, reckoned from between `since_s` and now."""
        found = {scope: each for scope, each in self.health.items() if each.is_open(monotonic(), "acct")}
        assert len(found) == bool(behaviour.rests), found
        for scope, each in found.items():
            provider, *narrower = scope.split(" ")
            assert provider == ("pool" if model == "pool/m" else "lone")
            assert ("key", "target")[len(narrower) - 1] == behaviour.rests
            assert since_s + behaviour.rest_s - 2.0 <= each.open_until_s <= monotonic() + behaviour.rest_s + 2.0
        if found:
            ill = self.table.resolver.digest("ill-key-of-ours")
            assert all(scope.split(" ")[1] == ill for scope in found)

    def rests(self, account: str = "acct") -> dict[str, float]:
        """What is closed to an account, and for how many seconds more."""
        now_s = monotonic()
        kinds = ("provider", "key", "target")
        return {
            kinds[len(scope.split(" ")) - 1]: each.open_until_s - now_s
            for scope, each in self.health.items()
            if each.is_open(now_s, account)
        }


@pytest.fixture
async def rig(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FailoverRig]:
    monkeypatch.setattr(random, "random", lambda: 0.0)  # the first key of a pool comes first
    monkeypatch.setattr(random, "uniform", lambda low, high: 0.0)
    async with FailoverRig(tmp_path, provider) as built:
        yield built


def check_charge(rig: FailoverRig, *costs_nano: int) -> None:
    """One record a caller, to the nano-dollar; and nothing stays held."""
    assert rig.held_nano == 0
    assert [record.cost_nano for record in rig.records] == list(costs_nano)
    assert all((record.tokens.prompt, record.tokens.completion) == (9, 3) for record in rig.records if record.cost_nano)


SHAPES = ["lone/m", "pool/m", "both"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", SHAPES, ids=["lone", "pool", "alias"])
@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=IDS)
async def test_failure_of_one(rig: FailoverRig, behaviour: Behaviour, model: str, streamed: bool) -> None:
    """A lone target, one key of a pool, one target of an alias: what the caller reads, who was asked next and nobody twice, what
    was charged, and what rests until when. A lone caller is told to wait only where waiting mends."""
    rig.script(behaviour.answer)
    since_s = monotonic()
    caller = await rig.request(model, streamed=streamed)
    is_moved = behaviour.moves(model)
    assert caller.status == (200 if is_moved else behaviour.status), caller.body
    assert rig.asked == behaviour.asked(model)
    check_charge(rig, behaviour.charge_nano(model))
    rig.check_rests(model, behaviour, since_s)
    assert b"key-of-ours" not in caller.body
    if not is_moved:
        assert not behaviour.code or behaviour.code in str(caller.json()["error"])
        assert (caller.headers.get(b"x-should-retry") == b"false") is behaviour.is_hopeless
        assert caller.headers.get(b"retry-after", b"").decode() == behaviour.retry_after
    elif streamed:
        assert caller.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=IDS)
async def test_failure_for_the_next_callers(rig: FailoverRig, behaviour: Behaviour, streamed: bool) -> None:
    """All four of four requests are answered by the second target where it can; by then the first rests or is asked again."""
    rig.script(behaviour.answer)
    for number in range(1, 5):
        caller = await rig.request("both", streamed=streamed)
        assert caller.status == (200 if behaviour.alias else behaviour.status), caller.body
        assert rig.asked == behaviour.asked("both", number)
    check_charge(rig, *[behaviour.charge_nano("both")] * 4)


@pytest.mark.parametrize("prelude", [b"", b": waiting\n\n", b"event: error\n"], ids=["at once", "behind a comment", "named"])
@pytest.mark.parametrize(
    ("error", "status", "moves"),
    [
        ({"message": "Overloaded", "type": "overloaded_error"}, 503, {"pool/m", "both"}),
        ({"message": "x", "code": "insufficient_quota"}, 502, {"pool/m", "both"}),
        ({"message": "prompt is too long"}, 400, {"both"}),
        ({"message": "Invalid value", "code": 400}, 400, set()),
    ],
    ids=["overloaded", "exhausted", "too long", "invalid"],
)
async def test_failure_as_the_first_event(
    rig: FailoverRig, error: dict[str, object], status: int, moves: set[str], prelude: bytes
) -> None:
    """Success is the first event: an error there is a status for the caller, moves on, costs nothing and is heard by health."""
    before: Answer = (prelude, Delay(0.02)) if prelude else ()
    first = stream([*before, event({"error": error})])
    for model in ("lone/m", "pool/m", "both"):
        rig.table._health.clear()
        rig.asked.clear()
        rig.script(first)
        caller = await rig.request(model, streamed=True)
        is_moved = model in moves
        assert caller.status == (200 if is_moved else status), model
        assert rig.asked == (["ill", "well"] if is_moved else ["ill"])
        assert (rig.records[-1].cost_nano > 0) is is_moved
        if is_moved:
            assert caller.body.endswith(b"data: [DONE]\n\n")
        if error.get("code") == "insufficient_quota":
            assert rig.rests()["key"] == pytest.approx(900.0, abs=5.0)
    assert rig.held_nano == 0


@pytest.mark.parametrize("model", ["lone/m", "pool/m", "both"])
@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ((End(),), "provider_truncated"),
        ((End(reset=True),), "provider_disconnected"),
        ((event({"error": {"message": "Overloaded", "type": "overloaded_error"}}),), "provider_overloaded"),
        ((event({"error": {"message": "no more", "code": "insufficient_quota"}}),), "provider_auth"),
        ((event({"error": {"message": "prompt is too long"}}),), "context_length_exceeded"),
    ],
    ids=["cut", "reset", "overloaded", "exhausted", "too long"],
)
async def test_failure_behind_the_first_word_is_final(rig: FailoverRig, model: str, rest: Answer, code: str) -> None:
    """The caller has a part of the answer: it is told of the failure, nobody else is asked, and the part is charged."""
    rig.script(stream([*spoken()[:3], *rest], framing="close"))
    caller = await rig.request(model, streamed=True)
    assert (caller.status, rig.asked) == (200, ["ill"])
    assert code in str(caller.events()[-1]["error"])
    assert b"[DONE]" not in caller.body
    (record,) = rig.records
    assert record.cost_nano > 0
    assert record.end_reason in ("truncated", "upstream_error")
    assert rig.rests() == ({"key": pytest.approx(900.0, abs=5.0)} if code == "provider_auth" else {})
    assert rig.held_nano == 0


async def test_words_that_do_not_come_are_not_waited_for(rig: FailoverRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error status whose body hangs, or comes in drops, is followed by the next target within seconds."""
    monkeypatch.setattr("edge.relay.attempts.ERROR_BODY_S", 0.2)
    hanging = (head(503, [("content-type", "application/json"), ("content-length", "99")]), b"{", Gate("never"))
    dripping: Answer = (hanging[0], *(step for _ in range(90) for step in (b" ", Delay(0.05))))
    for ill in (hanging, dripping):
        rig.script(ill)
        assert (await rig.request("both")).status == 200
    assert rig.asked == ["ill", "well"] * 2


@pytest.mark.parametrize("model", SHAPES, ids=["lone", "pool", "alias"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_failure_to_connect(tmp_path: Path, provider: Provider, model: str, streamed: bool, scheme: str) -> None:
    """Nobody listens, or nobody who speaks TLS: nothing was sent, so it is tried again, or elsewhere; nobody rests yet."""

    async def speaks_no_tls(line: Line) -> None:
        await line.reader.read(1)
        await line.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")

    async with Peer(speaks_no_tls) as peer, FailoverRig(tmp_path, provider, ill_port=peer.port) as rig:
        ill_port = peer.port if scheme == "https" else free_port()
        rig.use(rig.text.replace(f":{peer.port}/ill", f":{ill_port}/ill"))
        rig.use(rig.text.replace(f"http://127.0.0.1:{ill_port}/ill", f"{scheme}://127.0.0.1:{ill_port}/ill"))
        rig.script(respond(completion()))
        caller = await rig.request(model, streamed=streamed)
        assert caller.status == (200 if model == "both" else 502), caller.body
        assert rig.asked == (["well"] if model == "both" else [])
        check_charge(rig, 15_000 if model == "both" else 0)
        assert rig.rests() == {}


@pytest.mark.parametrize("model", SHAPES, ids=["lone", "pool", "alias"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("said", [(), (b"HTTP/1.1 200 OK\r\ncontent-le",)], ids=["at once", "in its head"])
async def test_failure_to_answer_in_time(rig: FailoverRig, model: str, streamed: bool, said: Answer) -> None:
    """What hangs may be billing: after its time the caller is told so, and nobody else is asked; nothing is charged or rests."""
    rig.script((*said, Gate("never")))
    caller = rig.caller(model=model, stream=streamed)
    running = rig.start(caller)
    await until(lambda: rig.asked and any(each.exchange is not None for each in rig.watch.contexts))
    rig.look(301.0)
    await running
    assert (caller.status, caller.json()["error"]["code"]) == (504, "provider_timeout"), caller.body
    assert rig.asked == ["ill"]
    check_charge(rig, 0)
    assert rig.rests() == {}


@pytest.mark.parametrize("model", ["pool/m", "both"])
@pytest.mark.parametrize(
    "behaviour", [each for each in BEHAVIOURS if each.pool], ids=[each.name for each in BEHAVIOURS if each.pool]
)
async def test_no_caller_sees_what_could_have_moved(tmp_path: Path, provider: Provider, behaviour: Behaviour, model: str) -> None:
    """With one healthy key or target, none of many callers sees the failure of the other, and it is asked less and less."""
    async with FailoverRig(tmp_path, provider) as rig:
        rig.script(behaviour.answer)
        for _ in range(30):
            caller = await rig.request(model)
            assert caller.status == 200, caller.body
        assert len([record for record in rig.records if record.cost_nano]) == 30
        if behaviour.rests:
            assert rig.asked.count("ill") <= 1


async def test_thousand_callers_of_a_pool_with_a_dead_key(tmp_path: Path, provider: Provider) -> None:
    """0 of 1,000 fail; and when the dead key's time is over it is not tried on a caller's request."""
    async with FailoverRig(tmp_path, provider) as rig:
        rig.script(BEHAVIOURS[0].answer)
        for number in range(1_000):
            if number == 500:
                (scope,) = rig.health
                rig.health[scope] = Health(1, monotonic() - 1.0, rig.health[scope].cause)
            assert (await rig.request("pool/m")).status == 200
        assert rig.asked.count("ill") == 1


@pytest.mark.parametrize("transport", [NativeUpstream, HttpxUpstream])
@pytest.mark.parametrize("seed", range(2))
async def test_storm_of_all_failures(tmp_path: Path, provider: Provider, seed: int, transport: type[Upstream]) -> None:
    """Hundreds, thirty at once, each ill in another way: one answer and one record each, charged where it was answered, nothing
    stays held; and what could have moved on is seen by nobody."""
    dice = random.Random(seed)
    async with FailoverRig(tmp_path, provider, credit_nano=10**12, transport=transport) as rig:

        def answer(request: Request) -> Answer:
            if "well" in (request.header("authorization") or ""):
                return stream(spoken()) if request.json().get("stream") else respond(completion())
            name = request.json()["messages"][0]["content"]
            return next(each.answer for each in BEHAVIOURS if each.name == name)

        provider.script_by("m", answer)
        asked = [(dice.choice(BEHAVIOURS), dice.choice(["pool/m", "both"]), dice.random() < 0.5) for _ in range(300)]
        waves = [asked[at : at + 30] for at in range(0, len(asked), 30)]
        for wave in waves:
            callers = [
                rig.start(rig.caller(model=model, stream=streamed, messages=[{"role": "user", "content": each.name}]))
                for each, model, streamed in wave
            ]
            for (each, model, _), running in zip(wave, callers, strict=True):
                caller = await running
                assert caller.is_complete
                moves = each.alias if model == "both" else each.pool
                assert caller.status in ((200,) if moves else (200, each.status)), (each.name, model, caller.body)
        assert len(rig.records) == 300
        assert all((record.cost_nano > 0) is (record.status == 200) for record in rig.records)
        assert rig.held_nano == 0


async def test_right_key_in_the_file_is_used_at_once(rig: FailoverRig) -> None:
    """A refused key closes its value, not its place: the right one in the same file is another scope."""
    rig.script(BEHAVIOURS[0].answer)
    assert (await rig.request("lone/m")).status == 502
    refused = await rig.request("lone/m")
    assert (refused.status, refused.headers.get(b"retry-after"), refused.headers[b"x-should-retry"]) == (502, None, b"false")
    (rig.folder / "ill").write_text("well-key-now\n")
    reread(rig.table, rig.folder / "providers.toml")
    assert (await rig.request("lone/m")).status == 200
    assert rig.health == {}


async def test_rotated_key_is_seen_without_a_change_of_the_table(rig: FailoverRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file behind `file:` is looked at like the table itself."""
    monkeypatch.setattr("edge.providers.reload.LOOK_S", 0.01)
    rig.script(BEHAVIOURS[0].answer)
    assert (await rig.request("lone/m")).status == 502
    watching = rig.tasks.spawn("watch", Reloader(rig.folder / "providers.toml", rig.table).watch())
    (rig.folder / "ill").write_text("well-key-now")
    await until(lambda: rig.health == {})
    assert (await rig.request("lone/m")).status == 200
    watching.cancel()


async def test_caller_who_leaves_between_two_attempts(rig: FailoverRig) -> None:
    """Nobody waits for the second attempt any more: it is not made, and nothing is charged."""
    rig.script(respond(b"", 429, [("retry-after", "1")]))
    caller = rig.caller(model="lone/m")
    running = rig.start(caller)
    await until(lambda: rig.health)
    rig.look(1.0)
    caller.leave()
    await running
    assert rig.asked == ["ill"]
    assert [(record.status, record.cost_nano) for record in rig.records] == [(499, 0)]
    assert rig.held_nano == 0


async def test_operator_hears_of_a_refused_key_once(rig: FailoverRig, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the key's place and the reason, once; the record names the reason; neither holds the key or the words."""
    rig.script(oai(402, "Insufficient Balance for ill-key-of-ours"))
    for _ in range(3):
        await rig.request("lone/m")
        await rig.request("pool/m")
    warnings = [entry.getMessage() for entry in caplog.records if entry.levelname == "WARNING"]
    assert warnings == [f"the key file:{rig.folder}/ill of {name} rests for 900 s: exhausted" for name in ("lone", "pool")]
    assert [record.error for record in rig.records if record.error] == ["exhausted"]
    assert "key-of-ours" not in caplog.text


async def test_secret_is_told_to_nobody(rig: FailoverRig) -> None:
    """A provider that repeats our key in its complaint: as a status, and inside a 200, whole and streamed."""
    complaint = {"error": {"message": "who is ill-key-of-ours?", "code": 400, "param": "ill-key-of-ours"}}
    cut_short = stream([*spoken()[:2], event(complaint)])
    for answer, streamed in (
        (respond(complaint, 400), False),
        (respond(complaint, 400), True),
        (respond(complaint), False),
        (respond(complaint), True),
        (stream([event(complaint)]), True),
        (cut_short, True),
    ):
        rig.script(answer)
        caller = await rig.request("lone/m", streamed=streamed)
        assert b"ill-key" not in caller.body
        assert b"who is [redacted]?" in caller.body


@pytest.mark.parametrize(
    ("answer", "count", "rest_s"),
    [
        (respond(b"", 429, [("retry-after", "1")]), 14, 1.0),
        (respond(b"", 429), 14, 0.0),
        (respond(b"", 503), 14, 0.0),
        (respond(b"", 401), 8, 60.0),
    ],
    ids=["429 for 1 s", "429", "503", "401"],
)
async def test_failures_in_flight_together_are_one(rig: FailoverRig, answer: Answer, count: int, rest_s: float) -> None:
    """A burst of one account closes the model to others no longer than one of its failures says."""
    gate = f"burst {id(rig)}"
    rig.script((Gate(gate), *answer))
    burst = [rig.start(rig.caller(model="lone/m")) for _ in range(count)]
    await until(lambda: rig.asked.count("ill") == count)
    rig.provider.release(gate)
    for caller in burst:
        assert (await caller).status != 200
    closed = rig.rests("another")
    assert max(closed.values(), default=0.0) == pytest.approx(rest_s, abs=1.0)


@pytest.mark.parametrize("is_burst", [True, False], ids=["at once", "one after another"])
@pytest.mark.parametrize("headers", [[("retry-after-ms", "20")], []], ids=["for 20 ms", "for no time"])
async def test_refusals_of_one_account_hold_nobody_else_back(
    rig: FailoverRig, headers: list[tuple[str, str]], is_burst: bool
) -> None:
    """Once the provider takes requests again, another account's is sent at once, whatever one account had been refused."""
    other, key_id = key.mint(os.urandom(32))
    rig.in_memory.open_account("other", 10**9)
    rig.in_memory.add_key(key.digest(other.encode()), "other", key_id)
    gate = f"refused {id(rig)}"
    rig.script((Gate(gate), *respond(b"", 429, headers)))
    burst = [rig.start(rig.caller(model="lone/m")) for _ in range(14 if is_burst else 1)]
    await until(lambda: rig.asked.count("ill") == len(burst))
    rig.provider.release(gate)
    for running in burst:
        assert (await running).status == 429
    rig.script(respond(b"", 429, headers))
    for _ in range(0 if is_burst else 14):
        rig.health.clear()
        assert (await rig.request("lone/m")).status == 429
    rig.health.clear()
    rig.script(respond(completion()))
    caller = rig.caller(model="lone/m")
    caller.scope["headers"] = [(b"host", b"edge.test"), (b"authorization", b"Bearer " + other.encode())]
    assert (await rig.run(caller)).status == 200, caller.body


async def test_content_of_one_account_closes_nothing_for_others(rig: FailoverRig) -> None:
    """However often one account's requests are answered 500, another account's are sent."""
    rig.script(next(each for each in BEHAVIOURS if each.name == "failed").answer)
    for _ in range(10):
        await rig.request("lone/m")
    assert "target" in rig.rests("acct")
    assert rig.rests("another") == {}


PATIENT = """
[routes.quick]
targets = ["lone/m", "well/m"]
policy = "impatient"
[policies.impatient]
first_token_timeout_s = 0.5
abandoned = "ours"
"""


COMMENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: working\n\n"


@pytest.mark.parametrize("said", [(), (COMMENTS,)], ids=["nothing", "comments"])
async def test_first_token_that_does_not_come_is_not_waited_for(rig: FailoverRig, said: Answer) -> None:
    """Another target answers; the caller pays its answer alone, and who was left is in the record, for the house to pay."""
    rig.use(rig.text + PATIENT)
    rig.script((*said, Gate("never")))
    caller = rig.caller(model="quick", stream=True)
    running = rig.start(caller)
    await until(lambda: rig.asked == ["ill"] and any(each.exchange is not None for each in rig.watch.contexts))
    rig.look(1.0)
    await running
    assert caller.status == 200
    assert b"[DONE]" in caller.body
    assert rig.asked == ["ill", "well"]
    check_charge(rig, 15_000)
    (record,) = rig.records
    assert [(each.provider, each.hold_nano > record.cost_nano) for each in record.abandoned] == [("lone", True)]
    assert rig.metrics.abandoned == {"lone": 1}


async def test_first_token_of_a_lone_target_is_waited_for(rig: FailoverRig) -> None:
    """Nobody else can be asked, so nothing is given up."""
    rig.use(rig.text + PATIENT + '[defaults]\npolicy = "impatient"\n')
    rig.script((Gate("later"), *stream(spoken())))
    caller = rig.caller(model="lone/m", stream=True)
    running = rig.start(caller)
    await until(lambda: rig.asked == ["ill"] and any(each.exchange is not None for each in rig.watch.contexts))
    rig.look(1.0)
    rig.provider.release("later")
    await running
    assert (caller.status, rig.asked) == (200, ["ill"])
    assert rig.records[0].abandoned == ()
