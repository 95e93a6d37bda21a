"""Machines that name themselves: one setting for all of them, a node and a token of its own for each, and nobody fenced."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.collector_database import records
from tests.e2e.conftest import providers_toml
from tests.e2e.test_drain import script_gated
from tests.patience import wait_until
from tests.processes import Collector, Edge, get, make_account, post, run, run_json
from tests.provider import Provider


def group_token(collector: Collector, group: str = "edge") -> str:
    token: str = run_json(collector, "nodes", "create", "--group", group)["token"]
    return token


def machine(folder: Path, collector: Collector, token: str, **env: Any) -> Edge:
    """An edge as its platform starts it: the same settings on every machine, but for what names it."""
    return Edge(folder, "", TOLLWAY_COLLECTOR_URL=collector.origin, TOLLWAY_NODE_TOKEN=token, **env)


def nodes(collector: Collector) -> dict[str, dict[str, object]]:
    return {row["node"]: row for row in run_json(collector, "nodes", "list")}


def readiness(edge: Edge) -> bytes:
    """What the admin port says, once it listens."""
    try:
        return get(edge.admin_port, "/readyz?verbose").body
    except OSError:
        return b""


def told_workers(edge: Edge) -> dict[str, str]:
    """How each worker is, as the admin port says; nothing where it does not answer."""
    return {name: each["status"] for name, each in json.loads(readiness(edge) or b"{}").get("workers", {}).items()}


def ask(edge: Edge, key: str) -> int:
    body = {"model": "echo/echo-1", "messages": [{"role": "user", "content": "Hi"}]}
    return post(edge.port, body, {"authorization": f"Bearer {key}"}).status


def test_machines_with_one_token_become_nodes(tmp_path: Path) -> None:
    """By Fly's machine id, by the pod's name, by the host's: all ready, all paid, each with a token of its own in its folder."""
    with Collector(tmp_path / "collector") as collector:
        token = group_token(collector)
        secret = tmp_path / "token"
        secret.write_text(f"{token}\n")
        key = make_account(collector, "acme").key
        with (
            machine(tmp_path / "fly", collector, token, FLY_MACHINE_ID="e784079b449483") as fly,
            machine(tmp_path / "pod", collector, token, POD_NAME="edge-0") as pod,
            machine(tmp_path / "host", collector, f"file:{secret}") as host,
        ):
            assert [ask(edge, key) for edge in (fly, pod, host)] == [200] * 3
            found = nodes(collector)
            assert {"edge-e784079b449483", "edge-0"} < set(found)
            assert [row["group"] for row in found.values()] == ["edge"] * 3
            assert [row["tokens"] for row in found.values()] == [1] * 3
            kept = (tmp_path / "pod" / "data" / "node-token").read_text()
            assert kept.startswith("edge-0 nt_")
            assert token not in kept
            assert (tmp_path / "pod" / "data" / "node-token").stat().st_mode & 0o777 == 0o600
            pod.kill()
            pod.start()  # at once: it is the same machine
            assert ask(pod, key) == 200
        run(collector, "verify")


def test_revoked_node_is_not_admitted_again(tmp_path: Path) -> None:
    """One of them, by name: its group's token does not bring it back, the others go on, and an operator's word does."""
    with Collector(tmp_path / "collector") as collector:
        token = group_token(collector)
        with machine(tmp_path / "one", collector, token, POD_NAME="edge-0") as one:
            with machine(tmp_path / "two", collector, token, POD_NAME="edge-1"):
                pass
            one.stop()
            run(collector, "nodes", "revoke", "edge-0")
            one.launch()
            wait_until(lambda: "node edge-0 was revoked" in one.log)
            assert not one.is_ready()
            with machine(tmp_path / "two", collector, token, POD_NAME="edge-1"):
                pass
            run(collector, "nodes", "revoke", "--group", "edge")
            with machine(tmp_path / "two", collector, token, POD_NAME="edge-1"):
                pass  # it has a token of its own
            run(collector, "nodes", "create", "edge-0")
            late = machine(tmp_path / "late", collector, token, POD_NAME="edge-2")
            late.launch()
            wait_until(lambda: "this group's token is unknown or revoked" in late.log)
            late.kill()


def test_revoked_node_takes_nothing_new(tmp_path: Path, provider: Provider, model: str) -> None:
    """Although it has leased credit: readiness is red on both ports and paid work is refused, also what costs nothing, with its
    next poll; what runs ends and is kept. Admitted again, one of a group serves on by itself, and what waited is booked."""
    with Collector(tmp_path / "collector") as collector:
        token = group_token(collector)
        account = make_account(collector, "acme")
        script_gated(provider, model)
        settings: Any = {"TOLLWAY_COLLECTOR_URL": collector.origin, "TOLLWAY_NODE_TOKEN": token, "POD_NAME": "edge-0"}
        with Edge(tmp_path / "edge", providers_toml(provider), **settings) as edge, ThreadPoolExecutor(1) as thread:
            assert ask(edge, account.key) == 200
            body = {"model": f"mock/{model}", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
            stream = thread.submit(post, edge.port, body, account.headers)
            provider.wait_for_request(model)
            run(collector, "nodes", "revoke", "edge-0")
            told = "node edge-0 was revoked; `tollway nodes create edge-0` admits it again"
            wait_until(lambda: told in str(readiness(edge)))  # a look in vain is not yet a red one
            assert get(edge.port, "/readyz").status == 503
            refused = post(edge.port, body, account.headers)
            assert (refused.status, refused.json()["error"]["code"]) == (503, "credit_unverifiable")
            assert "retry-after" in refused.headers
            provider.release(model)
            assert b"data: [DONE]" in stream.result().body
            run(collector, "nodes", "create", "edge-0")
            wait_until(lambda: edge.is_ready() and ask(edge, account.key) == 200)
            wait_until(lambda: len(records(collector, "acme")) == 3)
        run(collector, "verify")


def test_token_is_replaced_without_a_stop(tmp_path: Path) -> None:
    """A second token, the edge started with it, the first one revoked: the node goes on; so with a group's."""
    with Collector(tmp_path / "collector") as collector:
        account = make_account(collector, "acme")
        first = collector.make_node("fra-1")
        settings: Any = {"TOLLWAY_COLLECTOR_URL": collector.origin, "TOLLWAY_NODE": "fra-1"}
        with Edge(tmp_path / "edge", "", TOLLWAY_NODE_TOKEN=first, **settings) as edge:
            second = collector.make_node("fra-1")
            assert edge.stop() == 0
            edge.env["TOLLWAY_NODE_TOKEN"] = second
            edge.start()
            assert "revoked 1 tokens of node fra-1, which goes on" in run(collector, "nodes", "revoke", "fra-1", "--keep-newest")
            assert run(collector, "nodes", "revoke", "fra-1", "--keep-newest").startswith("revoked 0 tokens")
            assert ask(edge, account.key) == 200
            assert edge.stop() == 0
            edge.env["TOLLWAY_NODE_TOKEN"] = first
            edge.launch()
            wait_until(lambda: "this token of node fra-1 was revoked, and another one is given out" in edge.log)
        old, new = group_token(collector), group_token(collector)
        run(collector, "nodes", "revoke", "--group", "edge", "--keep-newest")
        with machine(tmp_path / "new", collector, new, POD_NAME="edge-0") as edge:
            assert ask(edge, account.key) == 200
        late = machine(tmp_path / "late", collector, old, POD_NAME="edge-1")
        late.launch()
        wait_until(lambda: "this group's token is unknown or revoked" in late.log)
        late.kill()


def test_second_machine_of_a_name_is_refused_and_the_first_goes_on(tmp_path: Path, provider: Provider) -> None:
    """One TOLLWAY_NODE for the whole app: the reason is in the log and on the admin port, and the first is not fenced. When it
    has left, the second takes its place."""
    table = providers_toml(provider)
    with Collector(tmp_path / "collector") as collector:
        token = collector.make_node("fra-1")
        key = make_account(collector, "acme").key
        settings: Any = {"TOLLWAY_NODE": "fra-1", "TOLLWAY_NODE_TOKEN": token, "TOLLWAY_COLLECTOR_URL": collector.origin}
        with Edge(tmp_path / "one", table, **settings) as one:
            second = Edge(tmp_path / "two", table, **settings)
            second.launch()
            wait_until(lambda: "node fra-1 runs on another machine" in second.log)
            assert "without TOLLWAY_NODE it names itself" in second.log
            wait_until(lambda: b"runs on another machine" in readiness(second))
            wait_until(lambda: second.is_listening() and ask(second, key) == 503)
            assert ask(one, key) == 200
            assert "takes no more paid work" not in one.log
            assert one.stop() == 0
            second.wait_ready()
            assert ask(second, key) == 200
            second.kill()


def test_token_of_another_node_says_what_to_do(tmp_path: Path) -> None:
    """The reason of a refusal at the collector is in the edge's log: both ends agree on the form of an error."""
    with Collector(tmp_path / "collector") as collector:
        for token, sentence in (
            (collector.make_node("fra-1"), "this token is node fra-1's, the message is from"),
            ("nt_" + "x" * 43, "this node token is unknown; `tollway nodes create` makes one"),
            ("ng_edge." + "x" * 43, "this group's token is unknown or revoked"),
        ):
            edge = machine(tmp_path / token[:9], collector, token)
            edge.launch()
            wait_until(lambda: sentence in edge.log)  # noqa: B023
            edge.kill()
            assert token not in edge.log


def test_name_stays_with_the_folder(tmp_path: Path) -> None:
    """A volume that is given to another machine keeps the node whose journal is on it."""
    with Collector(tmp_path / "collector") as collector:
        token = group_token(collector)
        for fly_id in ("aaaa", "bbbb"):
            with machine(tmp_path / "volume", collector, token, FLY_MACHINE_ID=fly_id) as edge:
                edge.stop()
        assert set(nodes(collector)) == {"edge-aaaa"}
        audit = json.loads(run(collector, "audit", "--json"))
        (enrolled,) = [row for row in audit if row["action"] == "node.enrol"]
        assert (enrolled["actor"], enrolled["subject"], enrolled["from"]) == ("group edge", "edge-aaaa", "127.0.0.1")


def test_workers_of_a_machine_enrol_each(tmp_path: Path) -> None:
    """One machine, two workers, one group's token: each is a node of its own behind the machine's name; revoked with it."""
    with Collector(tmp_path / "collector") as collector:
        token = group_token(collector)
        key = make_account(collector, "acme").key
        with machine(tmp_path / "edge", collector, token, POD_NAME="edge-0", TOLLWAY_WORKERS="2") as edge:
            wait_until(lambda: edge.log.count("serves in epoch") >= 2)
            assert [ask(edge, key) for _ in range(8)] == [200] * 8
            found = nodes(collector)
            assert {name for name in found if found[name]["epoch"]} == {"edge-0@0", "edge-0@1"}
            said = run(collector, "nodes", "revoke", "edge-0")
            assert "revoked 2 tokens of node edge-0" in said
            found = nodes(collector)
            assert [found[name]["revoked"] for name in ("edge-0@0", "edge-0@1")] == [True, True]
            wait_until(lambda: not edge.is_ready())
            run(collector, "nodes", "create", "edge-0")
            wait_until(lambda: set(told_workers(edge).values()) == {"ready"} and ask(edge, key) == 200)
