"""Hours of attacks, several at once and always others, with honest callers beside them.

Bounded: AT_ONCE of the attacks at full size for ATTACK_S, then PAUSE_S without any, so that an hour of it leaves room for
others on the machine. The callers ask for whole answers, streams and their account, on connections of their own.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from random import Random

from tests.hostile.attacks import ATTACKS
from tests.hostile.beside import Target, chat, resident_mib, send
from tests.patience import PATIENCE_S

AT_ONCE = 3
ATTACK_S = 6.0
PAUSE_S = 14.0
CALLERS = 20
CALLER_PAUSE_S = 1.0
WARM_S = 30.0
SETTLE_S = 20.0


class Siege:
    """What the callers saw: how long each of them waited, and what failed."""

    def __init__(self, target: Target, honest_keys: Sequence[str], seed: int) -> None:
        """`honest_keys`: of as many accounts as there are callers."""
        self._target = target
        self._honest_keys = honest_keys
        self._random = Random(seed)
        self.waits_s: list[float] = []
        self.failed: list[str] = []
        self.peak_mib = 0
        self.rounds = 0

    async def warm_up(self, seconds: float = WARM_S) -> None:
        """Callers alone, and faster, as in an ordinary hour: 200 connections at once, large bodies among them."""
        async with self._calling(200, 0.5):
            large = json.dumps({"model": "echo/echo-1", "messages": [{"role": "user", "content": "x" * (4 << 20)}]}).encode()
            until_s = time.monotonic() + seconds
            while time.monotonic() < until_s:
                await self._ask(chat(self._target.honest_key, large, "Connection: close"))
                await asyncio.sleep(1.0)

    async def hold(self, seconds: float) -> None:
        """Attack for so long."""
        until_s = time.monotonic() + seconds
        async with self._calling(CALLERS, CALLER_PAUSE_S):
            while time.monotonic() < until_s:
                names = "+".join(self._random.sample(sorted(ATTACKS), AT_ONCE))
                words = [sys.executable, "-m", "tests.hostile", names, str(ATTACK_S), *map(str, self._target)]
                attackers = await asyncio.create_subprocess_exec(*words)
                assert await attackers.wait() == 0, f"{names} broke"
                self.rounds += 1
                await asyncio.sleep(PAUSE_S)

    @contextlib.asynccontextmanager
    async def _calling(self, callers: int, pause_s: float) -> AsyncIterator[None]:
        jobs = [self._watch(), *(self._call(number, pause_s) for number in range(callers))]
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _call(self, number: int, pause_s: float) -> None:
        whole = b'{"model":"echo/echo-1","messages":[{"role":"user","content":"hello there"}]}'
        close, key = "Connection: close", self._honest_keys[number % len(self._honest_keys)]
        stream = whole.replace(b"{", b'{"stream":true,', 1)
        credits_ = f"GET /v1/credits HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n{close}\r\n\r\n".encode()
        asked = [chat(key, whole, close), chat(key, stream, close), chat(key, whole, close), credits_]
        await asyncio.sleep(pause_s * number / CALLERS % pause_s)
        for turn in range(1 << 60):
            await self._ask(asked[(turn + number) % (4 if number < CALLERS else 3)])
            await asyncio.sleep(pause_s)

    async def _ask(self, data: bytes) -> None:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await send(self._target.port, data)
            is_whole = answer.startswith(b"HTTP/1.1 200 ") and (b"event-stream" not in answer or b"data: [DONE]" in answer)
            if not is_whole:
                self.failed.append(repr(answer[:200]))
        except (OSError, TimeoutError) as problem:
            self.failed.append(repr(problem))
        self.waits_s.append(time.monotonic() - began_s)

    async def _watch(self) -> None:
        while True:
            self.peak_mib = max(self.peak_mib, resident_mib(self._target.pid))
            await asyncio.sleep(0.1)
