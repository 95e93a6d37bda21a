"""What a request holds is given back when it ends, however it ends, and the first reason for its end stands."""

from pathlib import Path

import pytest

from edge.journal import Intent
from edge.relay.end_reason import CancelReason
from routing.failures.failure import Sent
from tests.edge.rig import JSON, Play, Rig, broken

pytestmark = pytest.mark.anyio
ANSWER = b'{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'


@pytest.mark.parametrize("outcome", ["answer", "failure", "refusal"])
async def test_request_that_has_ended_holds_nothing(tmp_path: Path, outcome: str) -> None:
    """Neither a place nor bytes of the edge, nor credit."""
    async with Rig(tmp_path) as rig:
        play: Play | Exception = broken(Sent.REQUEST) if outcome == "failure" else Play(200, JSON, [ANSWER])
        held: list[int] = []
        rig.stage.on_open = lambda: held.append(rig.in_flight.held_requests)
        members = {"max_tokens": -1} if outcome == "refusal" else {}
        caller = await rig.ask(play, **members)
        assert caller.status == {"answer": 200, "failure": 502, "refusal": 400}[outcome]
        assert held == ([] if outcome == "refusal" else [1])
        assert (rig.in_flight.held_requests, rig.in_flight.held_bytes, rig.held_nano) == (0, 0, 0)
        assert not rig.watch.contexts


async def test_fault_before_the_intent_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw, when credit is held and nothing is written yet: it is answered plainly, and the hold goes back."""
    async with Rig(tmp_path) as rig:
        await rig.ask(Play(200, JSON, [ANSWER]))

        def faulty(intent: Intent) -> None:
            assert rig.held_nano > 0
            raise RuntimeError

        monkeypatch.setattr(rig.journal, "intent", faulty)
        caller = await rig.ask(Play(200, JSON, [ANSWER]))
        assert (caller.status, rig.held_nano, len(rig.records)) == (500, 0, 1)


async def test_charge_is_spent_from_the_lease(tmp_path: Path) -> None:
    """What a request used is gone from the credit on this node, and nothing else is."""
    async with Rig(tmp_path) as rig:
        await rig.ask(Play(200, JSON, [ANSWER]))
        before = rig.credit.totals()["free_nano"]
        await rig.ask(Play(200, JSON, [ANSWER]))
        assert rig.records[-1].cost_nano > 0
        assert before - rig.credit.totals()["free_nano"] == rig.records[-1].cost_nano


@pytest.mark.parametrize("declared", [60_000, 70_000])
async def test_body_of_a_refused_caller_is_taken(tmp_path: Path, declared: int) -> None:
    """Small ones have their place from the beginning, large ones when they are read: what still comes of either is thrown away,
    so that its caller reads why and its connection serves on."""
    async with Rig(tmp_path, more="[limits]\nbody_bytes_max = 50_000\n") as rig:
        head = [(b"host", b"edge.test"), (b"authorization", b"Bearer " + rig.key.encode())]
        caller = rig.caller_of(bytes(declared), [*head, (b"content-length", b"%d" % declared)])
        await rig.run(caller)
        assert (caller.status, caller.json()["error"]["code"]) == (413, "payload_too_large")
        assert caller._incoming.empty()
        assert (rig.in_flight.held_requests, rig.in_flight.held_bytes) == (0, 0)


async def test_first_reason_for_an_end_stands(tmp_path: Path) -> None:
    """A caller who leaves while the process drains has not been cut, and the other way round."""
    async with Rig(tmp_path) as rig:
        play = Play(200, JSON, [], ends=False)
        rig.stage.plays = [play]
        request = rig.start(rig.caller())
        await play.is_waiting.wait()
        (context,) = rig.watch.contexts
        context.cancel(CancelReason.DRAINING)
        context.cancel(CancelReason.CALLER_LEFT)
        assert context.cancel_reason is CancelReason.DRAINING
        assert (await request).status == 503
        assert [record.end_reason for record in rig.records] == ["proxy_error"]
