"""`python -m tests.hostile NAME SECONDS PORT KEY BROKE_KEY HONEST_KEY PID`: an attack, several (`a+b`) or all (`mixed`).

It ends with its time."""

import asyncio
import sys
import time

from tests.hostile.attacks import ATTACKS, mixed
from tests.hostile.beside import Target


async def run(name: str, seconds: float, target: Target) -> None:
    until_s = time.monotonic() + seconds
    try:
        async with asyncio.timeout(seconds):
            await mixed(target, tuple(ATTACKS) if name == "mixed" else name.split("+"))
    except TimeoutError:
        pass
    except BaseExceptionGroup:
        # An attacker that was cut down amid its work may have said something else than that it was cancelled.
        if time.monotonic() < until_s:
            raise


if __name__ == "__main__":
    name, seconds, port, key, broke_key, honest_key, pid = sys.argv[1:]
    asyncio.run(run(name, float(seconds), Target(int(port), key, broke_key, honest_key, int(pid))))
