"""Providers that are broken or hostile, at full size, with an honest caller of another provider beside them."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.beside import Target, computed_s, cpu_s, resident_mib, send
from tests.hostile.beside import chat as request_for
from tests.hostile.provider import BEHAVIOURS
from tests.patience import PATIENCE_S
from tests.ports import free_port
from tests.processes import Edge, get, make_account, run

CALLERS = 4
WAIT_CPU_S_MAX = 2.0
"""What the edge may compute while an honest caller waits. How long that takes is the machine's."""
CPU_S_MAX = 10.0
"""For all CALLERS, on a machine that does other things: 0.7 s at most were seen."""
MIB_MAX = 512
MESSAGES = [{"role": "user", "content": "x"}]
ROGUE = """
[providers.{name}]
base_url = "http://127.0.0.1:{port}/v1"
api_key = "none"
unlisted = {{ input = "1", output = "2" }}
connect_timeout_s = 2
first_byte_timeout_s = 3
idle_timeout_s = {clock_s}
total_timeout_s = {clock_s}
attempts_max = 1
"""
"""One for each behaviour: the breaker of another one's would keep its callers away."""


def table_of(port: int, clock_s: int = 8) -> str:
    return "".join(ROGUE.format(name=name, port=port, clock_s=clock_s) for name in BEHAVIOURS)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Edge, Target]]:
    port = free_port()
    rogue = subprocess.Popen([sys.executable, "-m", "tests.hostile.provider", str(port)], cwd=Path(__file__).parents[2])
    try:
        with Edge(tmp_path_factory.mktemp("rogue"), table_of(port)) as edge:
            a, b = make_account(edge, "a", "1000"), make_account(edge, "b", "1000")
            yield edge, Target(edge.port, a.key, a.key, b.key, edge.pid)
    finally:
        rogue.kill()
        rogue.wait()


async def victim(target: Target, behaviour: str, *, stream: bool) -> bytes:
    """A caller of the rogue: what it got, whole."""
    body = json.dumps(
        {"model": f"{behaviour}/{behaviour}", "stream": stream, "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    )
    async with asyncio.timeout(PATIENCE_S):
        return await send(target.port, request_for(target.key, body.encode(), "Connection: close"))


async def look_around(target: Target, behaviour: str) -> tuple[list[bytes], list[float], int]:
    """Victims' answers, what was computed during an honest caller's waits, and the memory at its peak."""
    honest = request_for(
        target.honest_key, b'{"model":"echo/echo-1","messages":[{"role":"user","content":"x"}]}', "Connection: close"
    )
    victims = [asyncio.create_task(victim(target, behaviour, stream=bool(number % 2))) for number in range(CALLERS)]
    waits_cpu_s, peak = [], 0
    while not all(task.done() for task in victims):
        began_computed_s = computed_s(target.pid)
        async with asyncio.timeout(PATIENCE_S):
            assert (await send(target.port, honest)).startswith(b"HTTP/1.1 200 ")
        waits_cpu_s.append(computed_s(target.pid) - began_computed_s)
        peak = max(peak, resident_mib(target.pid))
        await asyncio.sleep(0.05)
    return [task.result() for task in victims], waits_cpu_s, peak


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_rogue_provider_harms_its_own_callers_alone(behaviour: str, target: tuple[Edge, Target]) -> None:
    """They get an answer with a defined end, in bounded time, work and memory; others are served; nothing is a fault of ours."""
    edge, aimed = target
    began_cpu_s = cpu_s(aimed.pid)
    answers, waits_cpu_s, peak = asyncio.run(look_around(aimed, behaviour))
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 ")
        assert not answer.startswith(b"HTTP/1.1 500 ")
    assert max(waits_cpu_s) < WAIT_CPU_S_MAX
    assert cpu_s(aimed.pid) - began_cpu_s < CPU_S_MAX
    assert peak < MIB_MAX
    assert "Traceback" not in edge.log
    with contextlib.suppress(OSError):
        assert get(edge.port, "/healthz").status == 200


def test_books_are_whole_after_all_that(target: tuple[Edge, Target]) -> None:
    """Every generation is settled, and every invariant of the books holds."""
    run(target[0], "verify")
