"""The order of money, decided here alone: no byte of a request before its intent, no last byte of an answer before its
settlement.

What one turn of the event loop journals is one write, and what it sends goes out behind it, at the end of the turn.
Rule: nothing leaves before the lines that were journaled in the same turn are in the kernel. Rule: when they cannot be written,
the turn's requests are not sent but fail, and answers go out (their settlements wait in memory, and are never refused).
Rule: per connection order is kept: what closes or writes past the turn ends it first.
Who is held to it. The journal says each line (`line`, `settlement`) and is told here whether it may wait for the end of the turn.
A request goes out by `write`, or is asked for first (`before_request`) where its transport writes past the batch. An answer goes
out by `write` where the server does (`takes_answers`); under a foreign server no settlement waits. A relay settles before it
hands on what ends an answer, and awaits `Journal.durable` in between.
Strategy: a write to a socket whose reader sleeps wakes it, which costs several times the write. Written one behind another, the
first wakes the reader and the rest find it awake; and one write of a file costs little more for eight lines than for one.
Limits: at most HELD_MAX writes wait, so that the first does not wait long for the last; LARGE_BYTES wait for nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from routing.failures.failure import Kind, Sent, Source

log = logging.getLogger("tollway.write_batch")
WRITE_BATCH = "tollway.write_batch"
"""In the state of an ASGI application's lifespan: the WriteBatch that its server is to write through."""
HELD_MAX = 32
LARGE_BYTES = 65_536


class Refusable(Protocol):
    """Whose request waits in a turn: told when it will not be sent."""

    def fail(self, kind: Kind, source: Source, detail: str, sent: Sent) -> None: ...


def _nothing_to_commit() -> str:
    return ""


class LineOrder(Protocol):
    """When the journal's lines go into the kernel. What is returned is why they could not, or nothing."""

    def line(self) -> str:
        """An intent or a mark was put."""

    def settlement(self) -> None:
        """A settlement was put: what ends its answer may be sent from now on."""

    def before_request(self, through: "WriteBatch | None") -> str:
        """A request is about to be given to a transport that writes through that batch, or (None) at once."""


class UnbatchedLines:
    """The order of a journal beside which nothing is sent through a batch: each line is written when it is put."""

    __slots__ = ("commit",)

    def __init__(self, commit: Callable[[], str]) -> None:
        self.commit = commit

    def line(self) -> str:
        return self.commit()

    def settlement(self) -> None:
        self.commit()

    def before_request(self, through: "WriteBatch | None") -> str:
        return self.commit()


class WriteBatch:
    """A LineOrder, and what goes out behind the lines; one event loop's. `takes_answers`: the server writes through it."""

    __slots__ = ("_call_soon", "_held", "commit", "due_s", "is_due", "takes_answers")

    def __init__(self) -> None:
        self.commit: Callable[[], str] = _nothing_to_commit
        """Writes the journal's lines; returns why that was not possible, or nothing."""
        self.takes_answers = False
        self._held: list[tuple[asyncio.Transport, bytes, Refusable | None]] = []
        self.is_due = False
        self.due_s = 0.0
        """When the turn had something to do first, as seconds of `time.monotonic`."""
        self._call_soon: Callable[[Callable[[], None]], object] | None = None

    def line(self) -> str:
        """It is written at the end of this turn, and what the turn sends behind it."""
        if not self.is_due:
            self.fall_due()
        return ""

    def settlement(self) -> None:
        """It waits for the end of the turn if its answer does. Under a foreign server the answer may be gone before."""
        if not self.is_due:
            self.fall_due()
        if not self.takes_answers:
            self.commit()

    def before_request(self, through: "WriteBatch | None") -> str:
        """What is written through this batch comes behind its intent by itself; for anything else the intent is written now."""
        return "" if through is self else self.commit()

    def write(self, transport: asyncio.Transport, data: bytes, request: Refusable | None = None) -> None:
        """`transport.write(data)` at the end of the turn. `request`: whose beginning it is."""
        held = self._held
        held.append((transport, data, request))
        if len(held) >= HELD_MAX or len(data) >= LARGE_BYTES:
            self.end()
        elif not self.is_due:
            self.fall_due()

    def fall_due(self) -> None:
        """There is something to be done at the end of this turn, and `is_due` does not say so yet."""
        self.is_due = True
        self.due_s = monotonic()
        if self._call_soon is None:
            self._call_soon = asyncio.get_running_loop().call_soon
        self._call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self.is_due = False
        self.end()

    def end(self) -> None:
        """Send what is kept, now."""
        refusal = self.commit()
        held, self._held = self._held, []
        for transport, data, request in held:
            if refusal and request is not None:
                request.fail(Kind.JOURNAL, Source.PROXY, refusal, Sent.NOTHING)
            elif not transport.is_closing():
                try:
                    transport.write(data)
                except Exception:
                    # The others' bytes are here too: one broken connection must not take them along.
                    log.exception("a connection took no bytes and is given up")
                    transport.abort()
