"""Arbitrary bytes where a provider's answer should be: each request ends in a defined way, and no failure of ours is seen.

Seeded, and made of the pieces that answers are made of, so that most come further than the first look. A longer run changes
CASES.
"""

import random
from pathlib import Path

import pytest

from tests.edge.rig import Play, Rig

pytestmark = pytest.mark.anyio
CASES = 400
EVENT = b'{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}'
PIECES = [
    *(
        b'{"error":',
        b'{"message":"',
        b'"}',
        b"}",
        b"[",
        b"]",
        b'code":"',
        b'"type":"',
        b"insufficient_quota",
        b'"metadata":{"raw":"',
    ),
    *(b"\\ud83d", b"\xb2\xb3", b"\xd6\xd0\xce\xc4", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"NaN", b"null", b"1e999"),
    *(
        b"data: ",
        b"\n\n",
        b"event: error\n",
        b'error: {"message":"x"}\n\n',
        b": c\n\n",
        b"data: [DONE]\n\n",
        b"<title>",
        b"</title>",
    ),
    *(EVENT, b"data: " + EVENT + b"\n\n", b'"choices":[', b'"delta":{"content":"x"}', b'{"usage":{"prompt_tokens":'),
]
STATUSES = (200, 200, 200, 200, 302, 400, 401, 402, 403, 404, 413, 429, 500, 503, 529)
TYPES = (b"application/json", b"text/event-stream", b"text/plain", b"text/html; charset=gbk")


def plays(dice: random.Random) -> list[Play]:
    """The same odd answer from whoever is asked."""
    pieces = [dice.choice(PIECES) if dice.random() < 0.85 else dice.randbytes(5) for _ in range(dice.randrange(12))]
    headers = [(b"content-type", dice.choice(TYPES))]
    if dice.random() < 0.1:
        headers.append((b"content-encoding", dice.choice((b"gzip", b"br", b"deflate"))))
    status = dice.choice(STATUSES)
    return [Play(status, headers, list(pieces)) for _ in range(4)]


@pytest.mark.parametrize("seed", range(2))
async def test_arbitrary_answers_break_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """A whole answer of ours or a stream that has an end; no 500, no traceback, nothing left held."""
    monkeypatch.setattr(random, "uniform", lambda low, high: 0.0)  # no pause before a second attempt
    dice = random.Random(seed)
    async with Rig(tmp_path, credit_nano=10**12) as rig:
        for number in range(CASES):
            rig.table._health.clear()
            rig.table.observed._storms.clear()  # of refusals enough were played to keep most from being sent
            caller = await rig.ask(*plays(dice), stream=dice.random() < 0.5, model=dice.choice(["p/m", "both"]))
            assert caller.is_complete, number
            assert caller.status != 500, (number, caller.body)
        assert not [entry for entry in caplog.records if entry.levelname == "ERROR"]
        assert rig.held_nano == 0
