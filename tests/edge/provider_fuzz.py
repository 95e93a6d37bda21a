"""Arbitrary bytes as a provider's body, whole and streamed, under 200 and under errors, through the real relay.

Rule, for each case: no 500 of ours and no traceback; one settlement, within what was held; a stream that began is ended by
the provider's [DONE], by a finish, or by one error; nothing stays held.
"""

import gzip
import json
import logging
import random
import tempfile
from pathlib import Path
from typing import Any

from edge.upstream import Header
from routing.metering.bounds import PROMPT_ADDED_MAX
from tests.edge.rig import JSON, SSE, Caller, Play, Rig
from tests.routing.provider_bytes import bodies

STATUSES = (200, 200, 200, 200, 201, 400, 429, 500)
TYPES: tuple[list[Header], ...] = (SSE, JSON, [], [(b"content-type", b"text/plain")])


class Loud(logging.Handler):
    """Remembers what was logged with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.seen.append(record.getMessage())


async def fuzz(seed: int, count: int) -> dict[str, int]:
    """How the cases ended, by outcome. AssertionError names the case that broke a rule, by seed and number."""
    dice = random.Random(seed)
    outcomes: dict[str, int] = {}
    loud = Loud()
    logging.getLogger("tollway").addHandler(loud)
    try:
        with tempfile.TemporaryDirectory() as folder:
            async with Rig(Path(folder), credit_nano=10**14) as rig:
                for number, body in enumerate(bodies(seed, count)):
                    outcome = await _try(rig, dice, body, f"seed {seed}, case {number}")
                    outcomes[outcome] = outcomes.get(outcome, 0) + 1
                    assert not loud.seen, f"seed {seed}, case {number}: {loud.seen}"
    finally:
        logging.getLogger("tollway").removeHandler(loud)
    return outcomes


async def _try(rig: Rig, dice: random.Random, body: bytes, name: str) -> str:
    headers = [*dice.choice(TYPES)]
    if dice.random() < 0.1:
        body = gzip.compress(body)
        headers += [(b"content-encoding", dice.choice((b"gzip", b"br", b"deflate")))] if dice.random() < 0.7 else []
    size = dice.choice((1 << 20, 1 << 20, 97, 7))
    steps = [body[at : at + size] for at in range(0, len(body), size)]
    stream = dice.random() < 0.6
    more: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream and dice.random() < 0.3 else {}
    play = Play(dice.choice(STATUSES), headers, steps)
    plays = [play] * 1 + [Play(200, *_answer(stream)) for _ in range(4)]
    rig.table._health.clear()
    settled = rig.journal.settled_seq
    caller = await rig.ask(*plays, model=dice.choice(("p/m", "both")), stream=stream, n=dice.choice((1, 1, 2)), **more)
    assert rig.journal.settled_seq == settled + 1, name
    record = rig.journal.read_records(settled + 1, 1, 1 << 30)[0]
    # A provider may put some tokens of its own before a prompt (`routing.metering.bounds`): the one term beyond the hold.
    assert 0 <= record.cost_nano <= record.hold_nano + PROMPT_ADDED_MAX * record.rates.input // 1_000, name
    assert rig.held_nano == 0, name
    assert caller.status != 500, name
    assert caller.is_complete, name
    return _outcome(caller, stream, name)


def _answer(stream: bool) -> tuple[list[Header], list[bytes]]:
    choice = {"index": 0, "finish_reason": "stop"}
    if stream:
        event = json.dumps({"choices": [{**choice, "delta": {"content": "ok"}}]}).encode()
        return SSE, [b"data: %b\n\ndata: [DONE]\n\n" % event]
    return JSON, [json.dumps({"choices": [{**choice, "message": {"content": "ok"}}]}).encode()]


def _outcome(caller: Caller, stream: bool, name: str) -> str:
    """How it ended; AssertionError when that is no defined way."""
    if caller.status >= 400:
        assert caller.json()["error"]["message"], name
        return f"status {caller.status}"
    if not stream:
        assert caller.headers[b"content-type"].startswith(b"application/json"), name
        assert b"usage" in caller.body, name
        return "answer"
    assert caller.headers[b"content-type"].startswith(b"text/event-stream"), name
    body = caller.body
    last = body[body.rfind(b"data:") :]
    if last.startswith((b"data: [DONE]", b"data:[DONE]")):
        return "stream with [DONE]"
    if b'"error"' in last:
        return "stream with an error"
    assert b"finish_reason" in body, name
    return "stream with a finish"
