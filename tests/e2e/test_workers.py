"""`tollway serve --workers`: several processes on one port, replaced without a gap, gone with their supervisor."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.answers import DONE, Delay, Gate, completion, delta, event, respond, stream, usage_chunk
from tests.collector_database import records
from tests.e2e.conftest import providers_toml
from tests.patience import PATIENCE_S, wait_until
from tests.processes import COMMAND, Account, Collector, Edge, Reply, figure, get, is_running, make_account, post, run, run_json
from tests.processes import ask as http_ask
from tests.provider import Provider

pytestmark = pytest.mark.timeout(180)
"""Each starts several processes, one behind another."""


@contextmanager
def house(folder: Path, workers: int = 2, **env: str) -> Iterator[tuple[Provider, Collector, Edge, Account]]:
    with Provider() as provider, Collector(folder / "collector") as collector:
        edge = Edge(folder / "edge", providers_toml(provider), collector=collector, TOLLWAY_WORKERS=str(workers), **env)
        provider.script("model-1", respond(completion()))
        with edge:
            wait_until(lambda: edge.log.count("serves in epoch") >= workers)
            yield provider, collector, edge, make_account(collector, "caller", "100.00")


def ask(edge: Edge, account: Account, model: str = "model-1", *, streams: bool = False) -> tuple[int, bytes]:
    body = {"model": f"mock/{model}", "messages": [{"role": "user", "content": "hi"}], "stream": streams}
    answer = post(edge.port, body, account.headers)
    return answer.status, answer.body


def workers_of(edge: Edge) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(get(edge.admin_port, "/readyz").body)["workers"]
    return told


def children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def worker_of(edge: Edge, node: str) -> int:
    """Its process."""
    named = f"TOLLWAY_NODE={node}\0".encode()
    return next(pid for pid in children(edge.pid) if named in Path(f"/proc/{pid}/environ").read_bytes())


def test_workers_share_a_port_and_their_figures_are_one(tmp_path: Path) -> None:
    """Both serve; readiness names both; the sum of their requests is what was asked; an Idempotency-Key is both's; all is shipped
    when they are told to end."""
    with house(tmp_path) as (provider, collector, edge, account):
        assert set(workers_of(edge)) == {"edge@0", "edge@1"}
        assert [ask(edge, account)[0] for _ in range(40)] == [200] * 40
        wait_until(lambda: figure(edge, "tollway_workers") == 2)
        wait_until(lambda: figure(edge, "tollway_requests_total") == 40)  # without those of a worker that is late
        body = {"model": "mock/model-1", "messages": [{"role": "user", "content": "once"}]}
        repeats = [post(edge.port, body, account.headers | {"idempotency-key": "one"}) for _ in range(16)]
        codes = {200 if each.status == 200 else each.json()["error"]["code"] for each in repeats}
        assert codes == {200, "idempotency_completed"}
        assert len({each.headers["x-generation-id"] for each in repeats}) == 1
        assert len(provider.requests["model-1"]) == 41
        assert edge.stop() == 0
        kept = records(collector, account.name)
        assert len(kept) == 41
        assert {record.facts["node"] for record in kept} == {"edge@0", "edge@1"}


def test_worker_that_dies_is_replaced_and_what_it_left_is_booked(tmp_path: Path) -> None:
    """kill -9 of one worker: another takes its slot, callers are served meanwhile, and no record is missing."""
    with house(tmp_path) as (_, collector, edge, account):
        assert [ask(edge, account)[0] for _ in range(10)] == [200] * 10
        victim, _ = children(edge.pid)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: "another begins" in edge.log and len(children(edge.pid)) == 2)
        wait_until(lambda: edge.log.count("serves in epoch") >= 3)
        assert [ask(edge, account)[0] for _ in range(10)] == [200] * 10
        wait_until(lambda: len(records(collector, account.name)) == 20)
        wait_until(lambda: figure(edge, "tollway_worker_restarts_total") == 1)


def test_upgrade_cuts_nothing_and_refuses_nobody(tmp_path: Path) -> None:
    """SIGUSR2 under streams and short calls: every stream is whole, no call is refused, both workers are new ones afterwards."""
    with house(tmp_path) as (provider, collector, edge, account):
        words = [event(delta(content="a "))] * 1
        for _ in range(30):
            words += [Delay(0.1), event(delta(content="a "))]  # type: ignore[list-item]
        provider.script("model-2", stream([*words, event(delta("stop")), event(usage_chunk(5, 5)), DONE]))
        before = set(children(edge.pid))
        is_over, statuses = threading.Event(), []

        def call_on() -> None:
            while not is_over.is_set():
                statuses.append(ask(edge, account)[0])

        with ThreadPoolExecutor(10) as threads:
            calling = threads.submit(call_on)
            streams = [threads.submit(ask, edge, account, "model-2", streams=True) for _ in range(8)]
            wait_until(lambda: len(provider.requests["model-2"]) == 8)
            os.kill(edge.pid, signal.SIGUSR2)
            wait_until(lambda: "upgrade: done" in edge.log)
            assert all(b"data: [DONE]" in answer.result()[1] for answer in streams)
            is_over.set()
            calling.result()
        assert set(statuses) == {200}
        wait_until(lambda: len(children(edge.pid)) == 2)
        assert not before & set(children(edge.pid))
        assert set(workers_of(edge)) == {"edge@0b", "edge@1b"}
        wait_until(lambda: len(records(collector, account.name)) == 8 + len(statuses))


def test_worker_that_is_killed_while_it_leaves_is_booked(tmp_path: Path) -> None:
    """Replaced, with a stream under way, and gone by kill -9: what it left is shipped at once, not at some next start."""
    with house(tmp_path) as (provider, collector, edge, account):
        provider.script("model-2", stream([event(delta(content="a ")), Gate("end"), DONE]))
        before = children(edge.pid)
        with ThreadPoolExecutor(1) as threads:
            streaming = threads.submit(ask, edge, account, "model-2", streams=True)
            wait_until(lambda: len(provider.requests["model-2"]) == 1)
            os.kill(edge.pid, signal.SIGUSR2)
            wait_until(lambda: "upgrade: done" in edge.log)
            for pid in before:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            streaming.exception()
        wait_until(lambda: [each.facts["end_reason"] for each in records(collector, account.name)] == ["orphaned"])
        wait_until(lambda: not nodes_left(edge) & {"edge@0", "edge@1"})


def test_upgrade_that_does_not_become_ready_leaves_the_old_ones(tmp_path: Path) -> None:
    """A release that cannot start is taken back: who served goes on serving."""
    with house(tmp_path) as (_, _, edge, account):
        edge.rewrite_providers("[providers.mock]\nnonsense = 1\n")
        os.kill(edge.pid, signal.SIGUSR2)
        wait_until(lambda: "upgrade: stopped at worker 0" in edge.log)
        assert set(workers_of(edge)) == {"edge@0", "edge@1"}
        assert ask(edge, account)[0] == 200


def control(edge: Edge, *words: str) -> tuple[int, dict[str, Any]]:
    """`tollway reload|status … --json` on that machine: exit status, and what it said."""
    done = subprocess.run([COMMAND, *words, "--json"], env=edge.env, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout)


def test_reload_and_status_ask_every_worker(tmp_path: Path) -> None:
    """One answer with each worker's own: what is used is used by all before `tollway reload` returns; what is wrong is used by
    none, and each goes on with what it had; a page of a browser cannot ask."""
    with house(tmp_path) as (provider, _, edge, account):
        versions = {each["config"]["version"] for each in control(edge, "status")[1]["workers"].values()}
        assert len(versions) == 1
        table = providers_toml(provider)
        edge.rewrite_providers(table + '\n[aliases]\nnew = "mock/model-1"\n')
        status, told = control(edge, "reload")
        assert (status, told["succeeded"], set(told["workers"])) == (0, True, {"edge@0", "edge@1"})
        assert all(each["version"] not in versions for each in told["workers"].values())  # the edge may have looked before
        body = {"model": "new", "messages": [{"role": "user", "content": "hi"}]}
        assert [post(edge.port, body, account.headers).status for _ in range(20)] == [200] * 20
        edge.rewrite_providers("[providers.mock]\nnonsense = 1\n")
        status, told = control(edge, "reload")
        assert (status, told["succeeded"]) == (1, False)
        assert all("nonsense" in each["problem"] for each in told["workers"].values())
        status, told = control(edge, "status")
        assert {name: each["node"] for name, each in told["workers"].items()} == {"edge@0": "edge@0", "edge@1": "edge@1"}
        assert not any(each["config"]["succeeded"] for each in told["workers"].values())
        edge.rewrite_providers(table)
        assert run(edge, "reload").splitlines()[0].startswith("edge@0: version ")
        assert run(edge, "status").count(": ready, 0 requests open") == 2
        assert ask_control(edge).status == 403


def ask_control(edge: Edge) -> Reply:
    """As a page would ask that somebody on this machine has open."""
    return http_ask(edge.admin_port, "POST", "/reload")


def test_worker_that_hangs_is_ended_and_replaced(tmp_path: Path) -> None:
    """One that answers nothing, though it runs, is ended like one that died; the other serves on."""
    with house(tmp_path, TOLLWAY_WORKER_SILENT_S="6") as (_, _, edge, account):
        wait_until(lambda: all(each.get("status") == "ready" for each in workers_of(edge).values()))  # each has been heard of
        victim, _ = children(edge.pid)
        os.kill(victim, signal.SIGSTOP)
        wait_until(lambda: "answers nothing for 6 s: it is ended" in edge.log and not is_running(victim))
        wait_until(lambda: len(children(edge.pid)) == 2 and edge.log.count("serves in epoch") >= 3)
        assert [ask(edge, account)[0] for _ in range(10)] == [200] * 10


def test_worker_that_ends_again_and_again_takes_no_callers(tmp_path: Path) -> None:
    """Its place rests a while longer each time, readiness says which and why, everybody is served by the other one at once; and
    when what was wrong is mended, it serves again."""
    with house(tmp_path) as (_, _, edge, account):
        place = edge.folder / "data" / "w0"
        victim = worker_of(edge, "edge@0")
        place.rename(edge.folder / "aside")
        place.write_text("no folder")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: "worker edge@0 ended with status 2; another begins in 4.0 s" in edge.log)
        wait_until(lambda: "times in a row" in str(workers_of(edge)["edge@0"]))
        assert get(edge.admin_port, "/readyz").status == 200
        assert [ask(edge, account)[0] for _ in range(20)] == [200] * 20
        place.unlink()
        (edge.folder / "aside").rename(place)
        wait_until(lambda: len(children(edge.pid)) == 2 and edge.log.count("serves in epoch") >= 3)
        wait_until(lambda: workers_of(edge)["edge@0"] == {"status": "ready"})
        assert "Traceback" not in edge.log


def test_upgrade_fills_a_place_that_rests(tmp_path: Path) -> None:
    """A release that mends what ends a worker again and again takes its place like any other."""
    with house(tmp_path) as (_, _, edge, account):
        victim = worker_of(edge, "edge@0")
        (edge.folder / "data" / "w0").rename(edge.folder / "aside")
        (edge.folder / "data" / "w0").write_text("no folder")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: "another begins in 2.0 s" in edge.log)
        os.kill(edge.pid, signal.SIGUSR2)
        for fresh in ("edge@0b", "edge@1b"):  # each start of a process has its own time
            wait_until(lambda: fresh in workers_of(edge))  # noqa: B023
        wait_until(lambda: "upgrade: done" in edge.log and set(workers_of(edge)) == {"edge@0b", "edge@1b"})
        assert [ask(edge, account)[0] for _ in range(20)] == [200] * 20
        assert "Traceback" not in edge.log


@pytest.mark.parametrize(("before", "after", "nodes"), [(2, 1, {"edge@0", "edge@1"}), (1, 2, {"edge"})])
def test_other_number_of_workers_ships_what_the_others_left(tmp_path: Path, before: int, after: int, nodes: set[str]) -> None:
    """What a start with other workers, or with none, left in its folders is at the collector soon after the next start."""
    with house(tmp_path, before) as (_, collector, edge, account):
        assert [ask(edge, account)[0] for _ in range(20)] == [200] * 20  # so that each has a lease
        wait_until(lambda: len(records(collector, account.name)) == 20)
        collector.kill()
        assert [ask(edge, account)[0] for _ in range(20)] == [200] * 20  # so that each has something to ship
        assert edge.stop() == 75
        collector.start()
        assert nodes_left(edge) == nodes
        edge.env["TOLLWAY_WORKERS"] = str(after)
        edge.start()
        wait_until(lambda: not nodes_left(edge) & nodes)
        assert len(records(collector, account.name)) == 40


def nodes_left(edge: Edge) -> set[str]:
    """Whose journals lie in the data folder."""
    return {row["node"] for row in run_json(edge, "journal", "status")}


def test_workers_leave_with_their_supervisor(tmp_path: Path) -> None:
    """kill -9 of the supervisor: its workers end by themselves, shipped, and leave the port to whoever comes next."""
    with house(tmp_path) as (_, collector, edge, account):
        assert ask(edge, account)[0] == 200
        pids = children(edge.pid)
        os.kill(edge.pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_running, pids)))
        assert len(records(collector, account.name)) == 1
        assert edge.child is not None
        edge.child.wait(PATIENCE_S)
        edge.child = None
        edge.start()
        assert ask(edge, account)[0] == 200


def test_workers_without_a_collector_are_refused(tmp_path: Path) -> None:
    """One sentence says what is missing."""
    with Provider() as provider:
        edge = Edge(tmp_path / "edge", providers_toml(provider), TOLLWAY_WORKERS="2")
        edge.launch()
        assert edge.child is not None
        assert edge.child.wait(PATIENCE_S) == 2
        assert "--workers needs a collector that all of them share" in edge.log
        assert "Traceback" not in edge.log


def test_two_supervisors_of_one_port_and_moment_are_one(tmp_path: Path) -> None:
    """Workers share their port, and would share it with strangers: of two that start together, with folders of their own, one
    serves and the other is refused with a sentence. So is one that comes while no worker listens yet, and one without workers."""
    with Provider() as provider, Collector(tmp_path / "collector") as collector, ExitStack() as stack:
        names = ("one", "two", "three")
        edges = [Edge(tmp_path / name, providers_toml(provider), collector=collector, TOLLWAY_WORKERS="2") for name in names]
        port = edges[0].env["PORT"]
        edges[2].env["TOLLWAY_WORKERS"] = "1"
        for edge in edges:
            edge.env["PORT"] = port
            edge.port = int(port)
            stack.callback(edge.kill)
        for edge in edges:
            edge.launch()
        children = [edge.child for edge in edges if edge.child is not None]
        wait_until(lambda: sum(child.poll() is not None for child in children) == 2)
        (serving,) = [edge for edge in edges if edge.child is not None and edge.child.poll() is None]
        refused = [edge for edge in edges if edge is not serving]
        serving.wait_ready()
        assert [edge.child.poll() for edge in refused if edge.child is not None] == [2, 2]
        for edge in refused:
            edge.child = None
            assert edge.log.count("\n") == 1
            assert f"port {port} cannot be listened on (another tollway serves there, or begins to): choose another" in edge.log


def test_upgrade_starts_the_release_that_the_path_leads_to(tmp_path: Path) -> None:
    """A release is a folder beside the one that runs: when `current` is led to it, SIGUSR2 starts its program."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        begin, _, rest = Path(COMMAND).read_text().partition("\nimport ")  # a path that is long or has a blank begins over lines
        program = tmp_path / name / "tollway"
        program.write_text(f"{begin}\nprint('this is release {name}', flush=True)\nimport {rest}")
        program.chmod(0o755)
    current = tmp_path / "current"
    current.symlink_to("first")
    with Provider() as provider, Collector(tmp_path / "collector") as collector:
        provider.script("model-1", respond(completion()))
        edge = Edge(tmp_path / "edge", providers_toml(provider), collector=collector, TOLLWAY_WORKERS="2")
        edge.command = [str(current / "tollway"), "serve"]
        with edge:
            wait_until(lambda: edge.log.count("serves in epoch") >= 2)
            assert edge.log.count("this is release first") == 3
            current.unlink()
            current.symlink_to("second")
            os.kill(edge.pid, signal.SIGUSR2)
            wait_until(lambda: "upgrade: done" in edge.log)
            assert edge.log.count("this is release second") == 2
            assert ask(edge, make_account(collector, "caller"))[0] == 200


def test_journal_ship_books_what_a_process_left(tmp_path: Path) -> None:
    """With the collector away, usage waits in the folder; `tollway journal ship` books it without serving anybody, and says when
    it cannot."""
    with Provider() as provider, Collector(tmp_path / "collector") as collector:
        provider.script("model-1", respond(completion()))
        with Edge(tmp_path / "edge", providers_toml(provider), collector=collector) as edge:
            account = make_account(collector, "caller", "100.00")
            assert ask(edge, account)[0] == 200
            collector.kill()
            assert ask(edge, account)[0] == 200
            assert edge.stop() == 75
            collector.start()
            assert "serves in epoch" in run(edge, "journal", "ship") + edge.log
            assert len(records(collector, account.name)) == 2
            assert run_json(edge, "journal", "status") == []
