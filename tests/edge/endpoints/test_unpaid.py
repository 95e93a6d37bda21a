"""Requests that nobody pays for take turns by address, when the loop is late."""

import asyncio
from collections.abc import Awaitable
from time import monotonic

import pytest
from starlette.types import Message, Receive, Scope, Send

from edge.downstream import CALLER
from edge.endpoints.unpaid import UNPAID, FairApp
from edge.limits.fair_start import AT_ONCE, TURN_S, WAITING_MAX, FairStart
from edge.relay.response.own import send_whole
from edge.write_batch import WriteBatch

pytestmark = pytest.mark.anyio


class Departed:
    is_gone = True


class WaitingRoom:
    """An application in turn, and the addresses that it has answered, in order; 503s by themselves."""

    def __init__(self) -> None:
        self.turn = WriteBatch()
        self.starts = FairStart(self.turn)
        self.answered: list[str] = []
        self.refused: list[str] = []
        self.app = FairApp(self._answer, self.starts, lambda scope: scope["client"][0])

    def be_late(self) -> None:
        self.turn.is_due, self.turn.due_s = True, monotonic() - 2 * TURN_S

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.answered.append(scope["client"][0])
        await send_whole(send, 200, [], b"")

    def ask(self, address: str, **extensions: object) -> Awaitable[None]:
        async def receive() -> Message:
            raise AssertionError

        async def send(message: Message) -> None:
            if message.get("status", 200) != 200:
                assert message["status"] == 503
                assert b"retry-after" in dict(message["headers"])
                self.refused.append(address)

        scope = {"type": "http", "path": "/dashboard", "headers": [], "client": (address, 1), "extensions": extensions}
        return self.app(scope, receive, send)


async def test_flood_of_one_address_waits_behind_itself() -> None:
    """Another address, and an account that pays, begin while it waits; all are answered."""
    room = WaitingRoom()
    room.be_late()

    async def pay() -> None:
        await room.starts.wait("acme", "key", monotonic())
        room.answered.append("paid")

    async with asyncio.TaskGroup() as group:
        for _ in range(5 * AT_ONCE):
            group.create_task(_of(room.ask("flood")))
        group.create_task(_of(room.ask("other")))
        group.create_task(pay())
    assert room.answered[:2] == ["flood", "paid"]
    assert room.answered.index("other") <= 4
    assert room.answered.count("flood") == 5 * AT_ONCE
    assert not room.starts.waiting


async def test_nobody_waits_while_the_loop_keeps_up() -> None:
    """Then a request is answered before anything else is done."""
    room = WaitingRoom()
    await room.ask("a")
    assert room.answered == ["a"]


async def test_address_that_has_too_many_waiting_is_refused() -> None:
    """It is told when to come again; another address still finds a place."""
    room = WaitingRoom()
    room.be_late()
    tasks = [asyncio.create_task(_of(room.ask("flood"))) for _ in range(WAITING_MAX + 8)]
    tasks.append(asyncio.create_task(_of(room.ask("other"))))
    await asyncio.gather(*tasks)
    assert room.refused
    assert set(room.refused) == {"flood"}
    assert "other" in room.answered
    assert len(room.answered) + len(room.refused) == WAITING_MAX + 9


async def test_caller_that_left_while_it_waited_costs_nothing() -> None:
    """Nobody would read its answer."""
    room = WaitingRoom()
    room.be_late()
    await room.starts.wait(UNPAID, "", monotonic())  # the one that begins in this turn
    await room.ask("a", **{CALLER: Departed()})
    assert not room.answered
    assert not room.refused


async def _of(answer: Awaitable[None]) -> None:
    await answer
