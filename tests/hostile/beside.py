"""An attack, and an honest caller beside it: what the attack costs the process, and how long the caller has to wait.

The figures are of the attacked process alone: resident memory at its peak, CPU seconds; and of the honest caller, who makes one
request after another on connections of its own: the longest wait, and how many failed. And the longest by what the process has
computed meanwhile: what the wait would have been on a core of its own, whatever else the machine does.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from typing import NamedTuple

from tests.patience import PATIENCE_S

HONEST_PAUSE_S = 0.05


class Target(NamedTuple):
    """What is attacked: a port, the attacker's keys (of an account with credit, and of one without), the honest caller's, and the
    process."""

    port: int
    key: str
    broke_key: str
    honest_key: str
    pid: int


class Figures(NamedTuple):
    name: str
    peak_mib: int
    cpu_s: float
    longest_s: float
    longest_cpu_s: float
    asked: int
    failed: int

    def __str__(self) -> str:
        return (
            f"{self.name:34} {self.peak_mib:5} MiB  {self.cpu_s:6.2f} s CPU  longest wait {self.longest_s:6.3f} s,"
            f" {self.longest_cpu_s:6.3f} s of it computed  of {self.asked:4} requests  {self.failed} failed"
        )


def resident_mib(pid: int) -> int:
    with open(f"/proc/{pid}/statm", encoding="ascii") as facts:
        return int(facts.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as facts:
        user, system = facts.read().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def computed_s(pid: int) -> float:
    """The CPU time of the process's first thread, which has its event loop; of all of them where the kernel tells no more."""
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as facts:
            return int(facts.read().split()[0]) / 1e9
    except FileNotFoundError:
        return cpu_s(pid)


def chat(key: str, body: bytes, *more: str) -> bytes:
    """A whole request; `more`: header lines."""
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: edge",
        f"Authorization: Bearer {key}",
        f"Content-Length: {len(body)}",
        *more,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def send(port: int, data: bytes) -> bytes:
    """Everything that comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await reader.read(-1)
    finally:
        writer.close()


async def _be_honest(target: Target, waits_s: list[float], waits_cpu_s: list[float]) -> int:
    """Ask until cancelled; how many failed."""
    body = json.dumps({"model": "echo/echo-1", "messages": [{"role": "user", "content": "hi"}]}).encode()
    asked = chat(target.honest_key, body, "Connection: close")
    failed = 0
    began_s: float | None = None
    try:
        while True:
            began_s, began_cpu_s = time.monotonic(), computed_s(target.pid)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    answer = await send(target.port, asked)
                failed += not answer.startswith(b"HTTP/1.1 200 ")
            except (OSError, TimeoutError):
                failed += 1
            waits_s.append(time.monotonic() - began_s)
            waits_cpu_s.append(computed_s(target.pid) - began_cpu_s)
            began_s = None
            await asyncio.sleep(HONEST_PAUSE_S)
    except asyncio.CancelledError:
        if began_s is not None:
            waits_s.append(time.monotonic() - began_s)
        return failed


async def _watch(pid: int, peaks: list[int]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            peaks.append(resident_mib(pid))
            await asyncio.sleep(0.02)


async def beside(name: str, target: Target, seconds: float) -> Figures:
    """Run the attack `name` for so long, or nothing for an empty name, with an honest caller beside it. The attackers are a
    process of their own, so that the caller waits for the edge and not for them."""
    waits_s: list[float] = []
    waits_cpu_s = [0.0]
    peaks: list[int] = []
    began_cpu_s = cpu_s(target.pid)
    honest = asyncio.create_task(_be_honest(target, waits_s, waits_cpu_s))
    watching = asyncio.create_task(_watch(target.pid, peaks))
    await asyncio.sleep(0.3)
    if name:
        words = [sys.executable, "-m", "tests.hostile", name, str(seconds), *map(str, target)]
        attacker = await asyncio.create_subprocess_exec(*words)
        status = await attacker.wait()
    else:
        await asyncio.sleep(seconds)
        status = 0
    for task in (honest, watching):
        task.cancel()
    failed = await honest
    await watching
    assert status == 0, f"the attack {name} broke"
    spent_s = cpu_s(target.pid) - began_cpu_s
    return Figures(name or "nothing", max(peaks), spent_s, max(waits_s), max(waits_cpu_s), len(waits_s), failed)
