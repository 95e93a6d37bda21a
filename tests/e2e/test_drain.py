"""Leaving with real processes: who is told when, who may end, what is cut, what the last line says; also behind HAProxy."""

import asyncio
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from tests.answers import DONE, Delay, Gate, completion, delta, event, respond, stream, usage_chunk
from tests.collector_database import records
from tests.e2e.conftest import providers_toml
from tests.load import Seen, Shot, fire, shot
from tests.patience import PATIENCE_S, wait_until
from tests.ports import free_port
from tests.processes import Account, Collector, Edge, get, make_account, post
from tests.provider import Provider

LONG = {"TOLLWAY_DRAIN_NOTICE_S": "60", "TOLLWAY_DRAIN_GRACE_S": "60"}
"""Longer than a test takes on any machine: what is to happen before the end of one is seen, and then a second signal ends it."""
GRACE_S = 1
HELLO = {"model": "echo/echo-1", "messages": [{"role": "user", "content": "hi"}]}


def script_gated(provider: Provider, model: str) -> None:
    """A stream that has begun and goes on when the test says so."""
    first = (event(delta(role="assistant", content="")), event(delta(content="a ")))
    provider.script(model, stream([*first, Gate(model), event(delta("stop")), event(usage_chunk(5, 5)), DONE]))


def script_stream(provider: Provider, model: str, seconds: float) -> None:
    """A stream that says something every tenth of a second for so long."""
    words = [event(delta(role="assistant", content="")), event(delta(content="a "))]
    for _ in range(int(seconds * 10)):
        words += [Delay(0.1), event(delta(content="a "))]  # type: ignore[list-item]
    provider.script(model, stream([*words, event(delta("stop")), event(usage_chunk(5, 5)), DONE]))


@contextmanager
def house(folder: Path, server: str, **env: str) -> Iterator[tuple[Provider, Collector, Edge, Account]]:
    with Provider() as provider, Collector(folder / "collector") as collector:
        edge = Edge(folder / "edge", providers_toml(provider), collector=collector, TOLLWAY_SERVER=server, **env)
        with edge:
            yield provider, collector, edge, make_account(collector, "caller", "100.00")


def ask(edge: Edge, account: Account, model: str) -> tuple[int, bytes]:
    answer = post(edge.port, HELLO | {"model": f"mock/{model}", "stream": True}, account.headers)
    return answer.status, answer.body


def leave(edge: Edge) -> None:
    """SIGTERM, and wait until it was heard."""
    assert edge.child is not None
    edge.child.terminate()
    wait_until(lambda: get(edge.admin_port, "/readyz").status == 503)


def last_line(edge: Edge) -> str:
    return edge.log.strip().splitlines()[-1]


def test_streams_end_within_the_grace_or_with_their_error_event(server: str, tmp_path: Path) -> None:
    """SIGTERM under streams: those that end in time are whole, the others are cut with an error event, here by a second signal;
    all are charged and shipped before the process ends, and its last line says so."""
    with house(tmp_path, server, TOLLWAY_DRAIN_GRACE_S="60") as (provider, collector, edge, account):
        ends = {"model-1": True, "model-2": True, "model-3": False, "model-4": False}
        for model in ends:
            script_gated(provider, model)
        with ThreadPoolExecutor(len(ends)) as threads:
            asked = {model: threads.submit(ask, edge, account, model) for model in ends}
            for model in ends:
                provider.wait_for_request(model)
            leave(edge)
            for model in ends:
                if ends[model]:
                    provider.release(model)
            wait_until(lambda: all(asked[model].done() for model in ends if ends[model]))
            assert edge.stop() == 0
            seen = {model: answer.result() for model, answer in asked.items()}
        for model, is_whole in ends.items():
            status, body = seen[model]
            assert status == 200
            assert (b"data: [DONE]" in body, b'"code":"aborted"' in body) == (is_whole, not is_whole), model
        kept = {record.facts["upstream_model"]: record for record in records(collector, account.name)}
        assert {model: kept[model].end_reason for model in ends} == {
            model: "completed" if is_whole else "proxy_error" for model, is_whole in ends.items()
        }
        assert all(record.cost_nano > 0 for record in kept.values())
        assert "left: 2 requests ended, 2 were cut; everything is shipped, credit returned, the epoch closed" in last_line(edge)


def test_readiness_turns_red_before_the_door_closes(server: str, tmp_path: Path) -> None:
    """During the notice /readyz says 503 and paid work is served on; then connections are refused."""
    with house(tmp_path, server, **LONG) as (provider, _, edge, account):
        provider.script("model-1", respond(completion()))
        assert get(edge.port, "/readyz").status == 200
        leave(edge)
        assert get(edge.port, "/readyz").status == 503
        assert get(edge.admin_port, "/readyz").json()["problems"] == ["this edge is leaving"]
        assert ask(edge, account, "model-1")[0] != 503
        assert post(edge.port, HELLO, account.headers).status == 200
        assert edge.stop() == 0
        assert not edge.is_listening()


def test_grace_that_is_over_is_waited_for_no_more(server: str, tmp_path: Path) -> None:
    """One signal is enough: what does not end is cut when its time is up, and not before; it is settled all the same."""
    with house(tmp_path, server, TOLLWAY_DRAIN_GRACE_S=str(GRACE_S)) as (provider, collector, edge, account):
        script_gated(provider, "model-1")
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(ask, edge, account, "model-1")
            provider.wait_for_request("model-1")
            began_s = time.monotonic()
            assert edge.stop() == 0
            assert time.monotonic() - began_s >= GRACE_S
            assert b'"code":"aborted"' in asked.result()[1]
        assert [record.end_reason for record in records(collector, account.name)] == ["proxy_error"]


def test_what_cannot_be_shipped_is_said_by_status_and_last_line(server: str, tmp_path: Path) -> None:
    """The collector is gone: the records stay in the journal, the exit status is not 0, and the next start ships them."""
    with house(tmp_path, server) as (_, collector, edge, account):
        collector.kill()
        collector.start()
        assert post(edge.port, HELLO, account.headers).status == 200
        collector.kill()
        assert post(edge.port, HELLO, account.headers).status == 200
        assert edge.stop() == 75
        assert "for the next start: " in last_line(edge)
        assert "records wait in the journal" in last_line(edge)
        collector.start()
        edge.start()
        wait_until(lambda: len(records(collector, account.name)) == 2)


def test_hangup_reloads_the_table_and_ends_nothing(server: str, tmp_path: Path) -> None:
    """SIGHUP is the old way to say that a file changed."""
    with house(tmp_path, server) as (provider, _, edge, account):
        script_stream(provider, "model-1", 1.5)
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(ask, edge, account, "model-1")
            provider.wait_for_request("model-1")
            os.kill(edge.pid, signal.SIGHUP)
            assert b"data: [DONE]" in asked.result()[1]
        wait_until(lambda: "is in force, version" in edge.log)
        assert get(edge.port, "/readyz").status == 200


def test_second_process_on_one_folder_is_refused(tmp_path: Path) -> None:
    """It says who is there and what to do; the first one serves on and is not fenced."""
    with house(tmp_path, "native") as (_, _, edge, account):
        other = Edge(tmp_path / "edge", (tmp_path / "edge" / "providers.toml").read_text())
        done = subprocess.run(other.command, env=edge.env | {"PORT": str(other.port)}, capture_output=True, text=True, timeout=30)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert f"another process (pid {edge.pid}) serves from the data folder" in done.stderr
        assert post(edge.port, HELLO, account.headers).status == 200


HAPROXY = Path(__file__).parents[2] / "deploy/haproxy/haproxy.cfg"


def haproxy_config(port: int, figures_port: int, edges: list[Edge], retries: int) -> str:
    """The file that we ship, as an operator fills it in; looked at more often, so that a test is short. And HAProxy's own page of
    what it takes each edge for."""
    text = HAPROXY.read_text()
    servers = "\n".join(f"  server edge{number} 127.0.0.1:{edge.port}" for number, edge in enumerate(edges))
    for pattern, given in (
        (r"^  bind .*$", f"  bind 127.0.0.1:{port}"),
        (r"^  retries 3$", f"  retries {retries}"),
        (r"^  timeout connect 2s$", "  timeout connect 30s\n  timeout check 30s"),  # of a check it would be `inter` by default
        (r"\binter 2s fall 1 rise 2$", "inter 100ms fall 1 rise 1"),
        (r"(^  server .*\n)+", servers + "\n"),
    ):
        text, count = re.subn(pattern, given, text, flags=re.MULTILINE)
        assert count == 1, pattern
    return f"{text}\nfrontend figures\n  bind 127.0.0.1:{figures_port}\n  stats enable\n  stats uri /\n"


class Balancer:
    """HAProxy before some edges."""

    def __init__(self, folder: Path, edges: list[Edge], retries: int) -> None:
        self.port, self._figures_port, self._edges = free_port(), free_port(), edges
        path = folder / "haproxy.cfg"
        path.write_text(haproxy_config(self.port, self._figures_port, edges, retries))
        self._command = ["haproxy", "-db", "-f", str(path)]

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        wait_until(lambda: self._serves() and all(self.takes(number, "UP") for number in range(len(self._edges))))
        return self

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        self._child.wait(PATIENCE_S)

    def _serves(self) -> bool:
        try:
            return get(self._figures_port, "/;csv").status == 200
        except OSError:
            return False

    def takes(self, number: int, status: str, sessions_max: int = sys.maxsize) -> bool:
        """Whether it takes that edge for UP or DOWN, and has no more sessions there."""
        rows = csv.DictReader(get(self._figures_port, "/;csv").body.decode().splitlines())
        (row,) = [row for row in rows if row["svname"] == f"edge{number}"]
        return row["status"].startswith(status) and int(row["scur"]) <= sessions_max


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_rolling_restart_behind_a_balancer_refuses_nobody(server: str, tmp_path: Path) -> None:
    """Two edges are restarted one after the other under calls and streams, and nothing is tried again: no call is refused and no
    stream is cut. Each gives notice until the balancer has turned away and what ran there has ended."""
    with ExitStack() as stack:
        provider = stack.enter_context(Provider())
        collector = stack.enter_context(Collector(tmp_path / "collector"))
        edges = [
            Edge(tmp_path / f"edge-{n}", providers_toml(provider), collector=collector, TOLLWAY_SERVER=server, **LONG)
            for n in range(2)
        ]
        for edge in edges:
            stack.enter_context(edge)
        account = make_account(collector, "caller", "100.00")
        script_stream(provider, "model-1", 1.0)
        provider.script("model-2", (Delay(0.02), *respond(completion())))
        balancer = stack.enter_context(Balancer(tmp_path, edges, retries=0))
        is_over = False

        def calls() -> Iterator[Shot]:
            number = 0
            while not is_over:
                number += 1
                model = "mock/model-1" if number % 20 == 0 else "mock/model-2"
                yield shot(f"call-{number}", account.key, model, stream=model.endswith("1"))

        with ThreadPoolExecutor(1) as threads:
            firing = threads.submit(lambda: asyncio.run(fire(balancer.port, calls(), 5)))
            provider.wait_for_request("model-1")
            for number, edge in enumerate(edges):
                leave(edge)
                wait_until(partial(balancer.takes, number, "DOWN", 0))
                assert edge.stop() == 0
                edge.start()
                wait_until(partial(balancer.takes, number, "UP"))
            provider.wait_for_request("model-2", 40)
            is_over = True
            seen = firing.result()
        assert len(seen) > 40
        assert [one for one in seen if not one.is_whole] == []


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_restart_and_upgrade_of_machines_with_workers_cut_nothing(tmp_path: Path) -> None:
    """Two machines with two workers each: one is upgraded in place, the other restarted, under streams and calls that come in all
    the time. `scripts/soak rolling` is the long form."""
    with ExitStack() as stack:
        provider = stack.enter_context(Provider())
        collector = stack.enter_context(Collector(tmp_path / "collector"))
        env = {"TOLLWAY_WORKERS": "2", "TOLLWAY_DRAIN_NOTICE_S": "1", "TOLLWAY_DRAIN_GRACE_S": "30"}
        edges = [Edge(tmp_path / f"edge-{n}", providers_toml(provider), collector=collector, **env) for n in range(2)]
        for edge in edges:
            stack.enter_context(edge)
        account = make_account(collector, "caller", "100.00")
        script_stream(provider, "model-1", 2.0)
        provider.script("model-2", (Delay(0.02), *respond(completion())))
        port = stack.enter_context(Balancer(tmp_path, edges, retries=3)).port
        is_over = False

        def shots(model: str, *, stream: bool) -> Iterator[Shot]:
            while not is_over:
                yield shot(model, account.key, f"mock/{model}", stream=stream)

        def fire_streams() -> list[Seen]:
            return asyncio.run(fire(port, shots("model-1", stream=True), 16))

        def fire_calls() -> list[Seen]:
            return asyncio.run(fire(port, shots("model-2", stream=False), 2))

        with ThreadPoolExecutor(2) as threads:
            firing = [threads.submit(fire_streams), threads.submit(fire_calls)]
            provider.wait_for_request("model-1")
            os.kill(edges[0].pid, signal.SIGUSR2)
            assert edges[1].stop() == 0
            edges[1].start()
            wait_until(lambda: "upgrade: done" in edges[0].log)
            is_over = True
            seen = [one for each in firing for one in each.result()]
        assert len(seen) > 32
        assert [(one.status, one.problem, one.body) for one in seen if not one.is_whole] == []
