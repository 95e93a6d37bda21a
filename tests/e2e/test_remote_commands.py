"""The account commands from another machine: what an operator's token may do, and that all else is refused with a sentence."""

import json
import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import COMMAND, Collector, Edge, ask, make_account, post, run, run_json

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with (running := Collector(tmp_path_factory.mktemp("collector"))):
        yield running


@pytest.fixture(scope="module")
def token(collector: Collector) -> str:
    made: str = run_json(collector, "operators", "create", "far")["token"]
    return made


def far(url: str, token: str, *words: str, folder: Path | None = None) -> Done:
    """`tollway --collector URL …` on a machine that has nothing but a token."""
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "TOLLWAY_OPERATOR_TOKEN": token}
    return subprocess.run(
        [COMMAND, "--collector", url, *words], env=env, capture_output=True, text=True, timeout=60, check=False, cwd=folder
    )


@pytest.mark.timeout(180)  # some twenty interpreters start, one after another
def test_far_commands_are_the_near_ones(collector: Collector, token: str, tmp_path: Path) -> None:
    """Made, topped up, listed, changed, revoked: the same words, figures and exit statuses; nothing is left here."""
    made = json.loads(far(collector.origin, token, "keys", "create", "--account", "far", "--credit", "5", "--json").stdout)
    assert made["key"].startswith("sk_live_")
    added = far(collector.origin, token, "credits", "add", "far", "2.50", "--ref", "invoice 1")
    assert (added.returncode, added.stdout) == (0, "far: 7.5 dollars available, 0 leased to nodes\n")
    assert added.stderr == f"books: SQLite {collector.folder}/data/collector.db\n"
    for words in (
        ("credits", "show", "far"),
        ("keys", "list", "--json"),
        ("nodes", "list"),
        ("verify",),
        ("usage", "far", "--csv"),
    ):
        assert far(collector.origin, token, *words, folder=tmp_path).stdout == run(collector, *words)
    assert far(collector.origin, token, "keys", "revoke", made["key"]).returncode == 0
    assert list(tmp_path.iterdir()) == []
    audit = json.loads(run(collector, "audit", "--json", "--subject", "far"))
    assert audit[-1]["from"] == "127.0.0.1"
    assert audit[-1]["actor"].startswith("op_")
    link = far(collector.origin, token, "login", "far").stdout.split()[0]
    assert link.startswith(f"{collector.origin}/dashboard/login/")


def test_far_commands_that_are_wrong_are_told_as_near(collector: Collector, token: str, tmp_path: Path) -> None:
    figures = tmp_path / "figures"
    for words, status, sentence in (
        (("credits", "add", "faar", "1"), 1, "there is no account 'faar'"),
        (("keys", "create", "--account", "x", "--models", ""), 2, "it names no model"),
        (("keys",), 2, "the following arguments are required"),
        (("nonsense",), 2, "invalid choice: 'nonsense'"),
        (("backup", "/tmp/x"), 1, "make it there"),
        (("--", "backup", str(figures)), 1, "make it there"),
        (("verify", "--textfile", str(figures)), 1, "a file on the collector's machine"),
        (("verify", f"--text={figures}"), 1, "a file on the collector's machine"),
        (("collector",), 1, "on its own machine"),
        (("serve",), 2, "serve is for this machine"),
        (("prune", "--keep-days", "30"), 3, "cannot be undone"),
    ):
        done = far(collector.origin, token, *words)
        assert (done.returncode, sentence in done.stderr, "Traceback" in done.stderr) == (status, True, False), done.stderr
    assert not figures.exists()
    assert "x" not in {key["account"] for key in run_json(collector, "keys", "list")}


def test_far_commands_are_an_operators_alone(collector: Collector, token: str) -> None:
    """Every other credential, none, and one that was revoked; and no body breaks the door."""
    account = make_account(collector, "acme")
    manager = run_json(collector, "keys", "create", "--account", "acme", "--role", "management")["key"]
    node = collector.make_node("fra-1")
    revoked = run_json(collector, "operators", "create", "gone")
    run(collector, "operators", "revoke", revoked["id"])
    body = b'{"arguments":["keys","list"]}'
    for secret, status in (
        ("", 401), ("op_nonsense", 401), (account.key, 403), (manager, 403), (node, 401), (revoked["token"], 401), (token, 200),
    ):  # fmt: skip
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        assert ask(collector.port, "POST", "/operator/v1/command", headers=headers, body=body).status == status, secret[:8]
    headers = {"authorization": f"Bearer {token}"}
    for odd in (
        b"",
        b"[]",
        b'{"arguments":"keys"}',
        b'{"arguments":[1]}',
        b"\xff",
        b'{"arguments":["keys","' + b"x" * 70_000 + b'"]}',
    ):
        assert ask(collector.port, "POST", "/operator/v1/command", headers=headers, body=odd).status in (400, 413)
    for words in ([], ["--help"], ["keys", "--help"], [""], ["keys", "show", "\u202e\U0001f600"]):
        reply = post(collector.port, {"arguments": words}, headers, "/operator/v1/command")
        assert (reply.status, reply.json()["status"] in (0, 1, 2)) == (200, True), words


def test_token_goes_nowhere_else(collector: Collector, token: str, tmp_path: Path) -> None:
    """Not in the clear over the Internet, not from the command line; what answers is told apart from a collector."""
    for url, sentence in (
        ("http://collector.example", "in the clear"),
        ("ftp://collector.example", "is no address of a collector"),
        ("collector.example", "is no address of a collector"),
        ("http://127.0.0.1:1", "did not answer"),
        (f"{collector.origin}/wrong", "is it the collector's"),
    ):
        done = far(url, token, "keys", "list")
        assert (done.returncode in (1, 2), sentence in done.stderr, token in done.stderr) == (True, True, False), done.stderr
    done = far(collector.origin, "", "keys", "list")
    assert (done.returncode, "TOLLWAY_OPERATOR_TOKEN" in done.stderr) == (2, True)
    (tmp_path / "token").write_text(f"{token}\n")
    assert far(collector.origin, f"file:{tmp_path}/token", "keys", "list").returncode == 0
    assert "cannot be read" in far(collector.origin, "file:/nowhere", "keys", "list").stderr
    done = far(collector.origin, "sk_live_x", "keys", "list")
    assert done.returncode == 2


def test_edge_speaks_to_its_collector(collector: Collector, token: str, tmp_path: Path) -> None:
    """On an edge nothing is made: without a token the way is told, with one the command is done where the books are."""
    edge = Edge(tmp_path / "edge", "", collector=collector, node="edge-of-test")
    done = subprocess.run([COMMAND, "keys", "list"], env=edge.env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, f"an edge of {collector.origin}" in done.stderr) == (1, True)
    env = edge.env | {"TOLLWAY_OPERATOR_TOKEN": token}
    done = subprocess.run([COMMAND, "nodes", "list"], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "edge-of-test" in done.stdout, f"at {collector.origin}:" in done.stderr) == (0, True, True)
    assert not (tmp_path / "edge" / "data" / "collector.db").exists()


def test_embedded_collector_takes_far_commands_too(tmp_path: Path) -> None:
    with Edge(tmp_path, "") as edge:
        token = run_json(edge, "operators", "create", "far")["token"]
        assert "demo" in far(edge.origin, token, "keys", "list").stdout


@pytest.mark.parametrize(("answer", "status"), [("yes", 0), ("y", 3), ("", 3)])
def test_person_at_the_terminal_is_asked(collector: Collector, token: str, answer: str, status: int) -> None:
    """What cannot be undone waits for a yes, here for what is done there."""
    env: Any = {"PATH": os.environ["PATH"], "TOLLWAY_OPERATOR_TOKEN": token}
    ours, theirs = pty.openpty()
    words = [COMMAND, "--collector", collector.origin, "prune", "--keep-days", "30"]
    child = subprocess.Popen(words, env=env, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    asked, until_s = b"", time.monotonic() + 20
    while b"Type yes to go on" not in asked:
        assert select.select([ours], [], [], until_s - time.monotonic())[0], asked
        asked += os.read(ours, 4096)
    os.write(ours, f"{answer}\n".encode())
    assert child.wait(20) == status
    os.close(ours)
    assert child.stdout is not None
    child.stdout.close()


def test_explanation_asks_as_a_key(collector: Collector, token: str, tmp_path: Path) -> None:
    """At the books of a machine, and from an edge's with an operator's token: the same; a key that is revoked is said to be, one
    that nobody knows is one sentence, and no key leaves the machine."""
    account = make_account(collector, "asks", "1.00")
    (tmp_path / "providers.toml").write_text("[providers]\n")
    near = collector.env | {"TOLLWAY_PROVIDERS": str(tmp_path / "providers.toml")}
    edge = near | {"TOLLWAY_COLLECTOR_URL": collector.origin, "TOLLWAY_OPERATOR_TOKEN": token, "TOLLWAY_DATA": str(tmp_path)}

    def explain(env: dict[str, str], named: str) -> Done:
        words = [COMMAND, "explain", "echo/echo-1", "--as", named, "--json"]
        return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)

    told = explain(near, account.key_id)
    assert (told.returncode, told.stderr) == (0, "")
    assert json.loads(told.stdout)["as"]["spendable"] == "1"
    assert told.stdout == explain(edge, account.key).stdout == explain(edge, account.key_id).stdout
    assert json.loads(explain(edge, account.name).stdout)["as"]["key"] is None
    for env in (near, edge):
        unknown = explain(env, "ask")
        assert (unknown.returncode, unknown.stdout, len(unknown.stderr.splitlines())) == (2, "", 1)
        assert "did you mean asks" in unknown.stderr
    run(collector, "keys", "revoke", account.key_id)
    revoked = explain(edge, account.key)
    assert (revoked.returncode, json.loads(revoked.stdout)["refused"]["status"]) == (1, 401)
    assert account.key not in run(collector, "audit", "--json")
