"""Idempotency keys: what is bought once, replayed, refused and given back; alone, and through the real relay."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edge.relay import idempotency
from edge.relay.idempotency import KEPT_S, IdempotencyClaim, IdempotencyKeys, KeptAnswer, fingerprint_of
from routing.failures.failure import Kind, Sent
from routing.plan.refusal import Denied
from routing.surfaces import CallerRequest
from tests.edge.relay.test_relay import ANSWER, COST_NANO, STREAM
from tests.edge.rig import JSON, SSE, Caller, Play, Rig, broken
from tests.patience import until

JSON_HEAD = [(b"content-type", b"application/json")]


def claim(keys: IdempotencyKeys, name: bytes = b"n", *, body: bytes = b"b", now_s: float = 0.0, **more: str) -> Any:
    return keys.claim(more.get("digest", "d"), more.get("account", "a"), name, body, more.get("gen_id", "gen-1"), now_s)


def take(keys: IdempotencyKeys, name: bytes = b"n", **more: Any) -> IdempotencyClaim:
    found = claim(keys, name, **more)
    assert isinstance(found, IdempotencyClaim)
    return found


def refused(keys: IdempotencyKeys, name: bytes = b"n", **more: Any) -> tuple[int, str, str]:
    with pytest.raises(Denied) as caught:
        claim(keys, name, **more)
    return caught.value.refusal.status, caught.value.refusal.code, caught.value.gen_id


def test_name_is_taken_until_it_ends() -> None:
    """The second is refused while the first runs, and gets the first's answer when that is there."""
    keys = IdempotencyKeys()
    first = take(keys)
    assert refused(keys, gen_id="gen-2") == (409, "idempotency_in_progress", "gen-1")
    first.keep(200, JSON_HEAD, b"answer", 1.0)
    first.end()
    assert claim(keys, now_s=2.0) == KeptAnswer(200, JSON_HEAD, b"answer")
    assert refused(keys, body=b"other") == (422, "idempotency_key_reused", "gen-1")


def test_name_that_bought_nothing_is_free() -> None:
    """A request that cost nothing leaves nothing behind."""
    keys = IdempotencyKeys()
    take(keys).end()
    assert len(keys) == 0
    take(keys, body=b"other")


def test_name_of_an_answer_that_still_goes_out_is_its_successors() -> None:
    """A slow reader outlives what is kept: the end of its request does not end another one's that has the name by then."""
    keys = IdempotencyKeys()
    first = take(keys)
    first.keep(200, JSON_HEAD, b"answer", 1.0)
    second = take(keys, now_s=1.0 + KEPT_S, gen_id="gen-2")
    first.spend(2.0 + KEPT_S)
    first.end()
    assert refused(keys, now_s=2.0 + KEPT_S) == (409, "idempotency_in_progress", "gen-2")
    second.end()
    assert len(keys) == 0


def test_name_that_bought_what_is_not_kept() -> None:
    """A repeat learns which generation it was."""
    keys = IdempotencyKeys()
    first = take(keys)
    first.spend(1.0)
    first.end()
    assert refused(keys) == (409, "idempotency_completed", "gen-1")


def test_name_is_each_keys_own() -> None:
    """Another API key's name of the same letters is another name, of the same account too."""
    keys = IdempotencyKeys()
    take(keys).keep(200, JSON_HEAD, b"answer", 0.0)
    take(keys, digest="other")
    take(keys, name=b"N")


@pytest.mark.parametrize("name", [b"", b"x" * 256, b"a\xe4", b"a\tb", b"a\n"])
def test_name_malformed(name: bytes) -> None:
    """The refusal names the header."""
    keys = IdempotencyKeys()
    with pytest.raises(Denied, match="Idempotency-Key must have 1 to 255"):
        claim(keys, name)
    assert len(keys) == 0


def test_name_is_kept_ten_minutes_from_its_end() -> None:
    """Then it is free, with its answer and its share of the account; a request under way keeps its name while it runs."""
    keys = IdempotencyKeys()
    take(keys, now_s=0.0).keep(200, JSON_HEAD, b"answer", 500.0)
    take(keys, b"long")
    assert isinstance(claim(keys, now_s=1_099.0), KeptAnswer)
    take(keys, now_s=1_100.0)
    assert keys.answer_bytes == 0
    assert refused(keys, b"long", now_s=9_999.0)[1] == "idempotency_in_progress"


def test_answers_are_bounded() -> None:
    """One that is too large is not kept; an account's newest push out its oldest, whose fact stays; all have a bound."""
    keys = IdempotencyKeys(10 << 20)
    take(keys, b"large").keep(200, [], bytes((1 << 20) + 1), 0.0)
    assert refused(keys, b"large")[1] == "idempotency_completed"
    for number in range(5):
        take(keys, b"%d" % number).keep(200, [], bytes(1 << 20), 0.0)
    assert refused(keys, b"0")[1] == "idempotency_completed"
    assert isinstance(claim(keys, b"4"), KeptAnswer)
    for number in range(20):
        take(keys, b"x", account=f"other-{number}", digest=f"other-{number}").keep(200, [], bytes(1 << 20), 0.0)
    assert keys.answer_bytes == 10 << 20
    assert isinstance(claim(keys, b"4"), KeptAnswer)


def test_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of the account is forgotten, then the oldest of all."""
    monkeypatch.setattr(idempotency, "ACCOUNT_NAMES_MAX", 3)
    monkeypatch.setattr(idempotency, "TOTAL_NAMES_MAX", 5)
    keys = IdempotencyKeys()
    for number in range(4):
        take(keys, b"%d" % number).keep(200, [], b"answer", 0.0)
    assert len(keys) == 3
    take(keys, b"0").end()
    for account in ("b", "c", "e"):
        take(keys, digest=account, account=account).spend(0.0)
    assert len(keys) == 5
    assert keys.answer_bytes == 2 * len(b"answer")


def test_fingerprint_form_without_its_boundary() -> None:
    """The same form with another boundary is the same request; another path, query or body is another."""

    def form(boundary: bytes, text: bytes = b"x", path: str = "/v1/a", query: bytes = b"") -> bytes:
        body = b'--%b\r\ncontent-disposition: form-data; name="f"\r\n\r\n%b\r\n--%b--\r\n' % (boundary, text, boundary)
        head = [(b"content-type", b"multipart/form-data; boundary=" + boundary)]
        return fingerprint_of(CallerRequest(path, head, query), body)

    assert form(b"one") == form(b"another")
    assert len({form(b"one"), form(b"one", b"y"), form(b"one", path="/v1/b"), form(b"one", query=b"q")}) == 4


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with Rig(tmp_path, extra='on_disconnect = "drain"') as built:
        yield built


def named(rig: Rig, name: bytes = b"n", **members: Any) -> Caller:
    caller = rig.caller(**members)
    caller.scope["headers"].append((b"idempotency-key", name))
    return caller


async def ask(rig: Rig, *plays: Play | Exception, **members: Any) -> Caller:
    rig.stage.plays = list(plays)
    return await rig.run(named(rig, **members))


@pytest.mark.anyio
async def test_answer_is_bought_once(rig: Rig) -> None:
    """A repeat has the status, headers and bytes of the first, its generation too, and there is one record."""
    first = await ask(rig, Play(200, JSON, [ANSWER]))
    again = await ask(rig)
    assert (again.status, again.body) == (200, first.body)
    told = {name: value for name, value in first.headers.items() if name != b"server-timing"}
    assert again.headers == told | {b"idempotency-replayed": b"true"}
    assert [record.cost_nano for record in rig.records] == [COST_NANO]
    assert rig.held_nano == 0
    other = await ask(rig, temperature=0.5)
    assert (other.status, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert other.headers[b"x-should-retry"] == b"false"


@pytest.mark.anyio
async def test_stream_is_bought_once(rig: Rig) -> None:
    """Its bytes are not kept: a repeat is told the generation."""
    first = await ask(rig, Play(200, SSE, STREAM), stream=True)
    again = await ask(rig, stream=True)
    assert (first.status, again.status, again.json()["error"]["code"]) == (200, 409, "idempotency_completed")
    assert again.headers[b"x-generation-id"] == first.headers[b"x-generation-id"]
    assert first.headers[b"x-generation-id"].decode() in again.json()["error"]["message"]
    assert len(rig.records) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("members", [{}, {"stream": True}])
async def test_failure_without_cost_frees_the_name(rig: Rig, members: dict[str, Any]) -> None:
    """An SDK's own retry is carried out: behind a provider's error, a request that was refused, one with another body."""
    failed = await ask(rig, broken(Sent.NOTHING, Kind.CONNECT), broken(Sent.NOTHING, Kind.CONNECT), **members)
    assert failed.status == 502
    refused = await ask(rig, Play(400, JSON, [b'{"error":{"message":"no"}}']), **members)
    assert refused.status == 400
    assert (await ask(rig, model="nothing/there")).status == 404
    play = Play(200, SSE, STREAM) if members else Play(200, JSON, [ANSWER])
    assert (await ask(rig, play, **members)).status == 200
    assert [record.cost_nano for record in rig.records if record.cost_nano] == [COST_NANO]


@pytest.mark.anyio
async def test_stream_that_broke_with_cost_is_not_bought_again(rig: Rig) -> None:
    """Text had come and was charged."""
    await ask(rig, Play(200, SSE, [STREAM[0], broken(Sent.REQUEST)]), stream=True)
    assert rig.records[0].cost_nano > 0
    assert (await ask(rig, stream=True)).json()["error"]["code"] == "idempotency_completed"


@pytest.mark.anyio
async def test_caller_that_left_gets_its_answer_when_it_was_read_on(rig: Rig) -> None:
    """It asks again after its own time-out; while the first is under way it is told when to ask, and then it has the answer."""
    play = Play(200, JSON, [ANSWER[:20]], ends=False)
    rig.stage.plays = [play]
    caller = named(rig)
    task = rig.start(caller)
    await until(play.is_waiting.is_set)
    early = await rig.run(named(rig))
    assert (early.status, early.json()["error"]["code"], early.headers[b"retry-after"]) == (409, "idempotency_in_progress", b"1")
    rig.look(1.0)
    (context,) = rig.watch.contexts
    caller.leave()

    def has_left() -> bool:
        rig.look(1.0)
        return context.has_left

    await until(has_left)
    play._steps = [ANSWER[20:], b""]
    play.poke()
    await task
    again = await rig.run(named(rig))
    assert (again.status, again.headers[b"idempotency-replayed"]) == (200, b"true")
    assert [(record.end_reason, record.cost_nano) for record in rig.records] == [("cancelled", COST_NANO)]
    assert caller.sent == []


@pytest.mark.anyio
async def test_name_malformed_or_twice_at_the_edge(rig: Rig) -> None:
    """400 with the header's name; twice the same is one."""
    assert (await rig.run(named(rig, b"x" * 256))).json()["error"]["code"] == "invalid_idempotency_key"
    twice = named(rig)
    twice.scope["headers"].append((b"idempotency-key", b"other"))
    assert (await rig.run(twice)).json()["error"]["code"] == "invalid_idempotency_key"
    same = named(rig)
    same.scope["headers"].append((b"idempotency-key", b"n"))
    rig.stage.plays = [Play(200, JSON, [ANSWER])]
    assert (await rig.run(same)).status == 200


class Forgetful(IdempotencyKeys):
    """Wrong: the name is taken when something was bought, and not before."""

    def claim(self, *args: Any) -> IdempotencyClaim | KeptAnswer:
        found = super().claim(*args)
        self._running.clear()
        return found


@pytest.mark.anyio
@pytest.mark.parametrize(("keys", "bought"), [(IdempotencyKeys, 1), (Forgetful, 2)])
async def test_two_at_once_are_bought_once(rig: Rig, keys: type[IdempotencyKeys], bought: int) -> None:
    """While the first waits for the provider the second is refused; with names that are taken too late, both are carried out."""
    rig.relay._idempotency = keys()
    plays = [Play(200, JSON, [ANSWER], ends=False) for _ in range(2)]
    rig.stage.plays = list[Play | Exception](plays)
    tasks = [rig.start(named(rig)) for _ in range(2)]
    await until(lambda: all(play.is_waiting.is_set() for play in plays[:bought]))
    for play in plays[:bought]:
        play._steps = [b""]
        play.poke()
    callers = await asyncio.gather(*tasks)
    assert sorted(caller.status for caller in callers) == [200, 200] if bought == 2 else [200, 409]
    assert len(rig.records) == bought
