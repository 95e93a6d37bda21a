"""`python -m tests.hostile NAME SECONDS PORT KEY BROKE_KEY HONEST_KEY PID`: one attack (or `mixed`), until its time is over."""

import asyncio
import contextlib
import sys

from tests.hostile.attacks import ATTACKS, mixed
from tests.hostile.beside import Target


async def run(name: str, seconds: float, target: Target) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await (mixed if name == "mixed" else ATTACKS[name])(target)


if __name__ == "__main__":
    name, seconds, port, key, broke_key, honest_key, pid = sys.argv[1:]
    asyncio.run(run(name, float(seconds), Target(int(port), key, broke_key, honest_key, int(pid))))
