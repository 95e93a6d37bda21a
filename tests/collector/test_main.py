"""A collector started on its own, as a real process: it serves, survives kill -9, and says what is wrong."""

import os
import resource
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import httpx
import msgspec
import pytest
from starlette.requests import Request

from collector.accounts import accounts
from collector.accounts import keys as account_keys
from collector.accounts.keys import KeyTerms
from collector.app import is_direct
from collector.leasing import nodes
from collector.ledger.audit import verify
from collector.store.sqlite import SqliteStore
from tests.collector.facts import NOON_MS, Caller, make_fact
from tests.patience import PATIENCE_S, wait_until
from tests.ports import free_port
from usage.key import digest
from usage.protocol import Ack, Batch, Boot, Booted

ROOT = Path(__file__).parents[2]


class Process:
    """`python -m collector` on a free port, started again at will."""

    def __init__(self, data: Path) -> None:
        self.port = free_port()
        self.environ = {**os.environ, "TOLLWAY_DATA": str(data), "PORT": str(self.port), "HOST": "127.0.0.1"}
        self.environ.pop("TOLLWAY_DATABASE", None)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", transport=httpx.HTTPTransport(retries=0))
        self.child: subprocess.Popen[bytes] | None = None
        self.before: Callable[[], None] | None = None

    def start(self, log: IO[bytes] | None = None, *, is_ready: bool = True) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "collector"],
            cwd=ROOT,
            env=self.environ,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            preexec_fn=self.before,
        )
        wait_until(lambda: self.answers("readyz" if is_ready else "healthz"))

    def answers(self, path: str) -> bool:
        assert self.child is not None
        assert self.child.poll() is None, f"it ended with {self.child.returncode}"
        try:
            return self.http.get(f"/{path}").status_code == 200
        except httpx.TransportError:
            return False

    def end(self, how: signal.Signals) -> None:
        if self.child is not None:
            os.killpg(self.child.pid, how)
            self.child.wait(PATIENCE_S)
            self.child = None


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path)
    yield made
    made.end(signal.SIGKILL)
    made.http.close()


def test_collector_killed_between_batches_loses_and_doubles_nothing(process: Process, tmp_path: Path) -> None:
    """What was acknowledged is there after kill -9; what was not is sent again and counts once."""
    store = SqliteStore.open(tmp_path / "collector.db")
    token = store.write(lambda tx: nodes.create_token(tx, "fra-1", NOON_MS))
    store.write(lambda tx: accounts.add_credit(tx, "acme", 10**9, "", NOON_MS))
    key = store.write(lambda tx: account_keys.create_key(tx, "acme", KeyTerms(), NOON_MS)[0])
    (made,) = store.read(lambda tx: account_keys.list_keys(tx, "acme"))
    caller = Caller(key, digest(key.encode()), made.key_id, "acme", "acme")
    process.http.headers["authorization"] = f"Bearer {token}"

    def post(name: str, message: msgspec.Struct) -> bytes:
        response = process.http.post(f"/node/v1/{name}", content=msgspec.json.encode(message))
        assert response.status_code == 200, response.text
        return response.content

    process.start()
    epoch = msgspec.json.decode(post("boot", Boot("fra-1", "b")), type=Booted).epoch
    facts = tuple(make_fact(seq, caller, "fra-1", epoch, f"gen-{seq}") for seq in range(1, 601))
    batches = [Batch("fra-1", epoch, facts[at : at + 200]) for at in range(0, 600, 200)]
    post("ingest", batches[0])
    process.end(signal.SIGKILL)
    with pytest.raises(httpx.TransportError):
        post("ingest", batches[1])
    process.start()
    acks = [msgspec.json.decode(post("ingest", batch), type=Ack) for batch in batches]
    assert [ack.acked_through for ack in acks] == [200, 400, 600]
    response = process.http.get("/api/v1/credits", headers={"authorization": f"Bearer {key}"})
    assert response.json()["data"]["total_usage"] == sum(fact.cost_nano for fact in facts) / 1e9
    assert all(check.is_kept for check in store.read(verify))
    store.close()


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "http"), ("TOLLWAY_DATABASE", "mysql://x"), ("TOLLWAY_DATA", "/dev/null/x")]
)
def test_collector_that_cannot_start_says_why_in_one_line(tmp_path: Path, name: str, value: str) -> None:
    environ = {**os.environ, "TOLLWAY_DATA": str(tmp_path), name: value}
    done = subprocess.run([sys.executable, "-m", "collector"], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_collector_whose_port_is_taken_says_so_in_one_line(process: Process, tmp_path: Path) -> None:
    """And it never says that it listens."""
    process.start()
    environ = {**process.environ, "TOLLWAY_DATA": str(tmp_path / "other")}
    done = subprocess.run([sys.executable, "-m", "collector"], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"tollway collector: port {process.port} of 127.0.0.1 cannot be listened on (Address already in use); PORT names another"
    ]


def test_collector_killed_leaves_nobody_serving(process: Process) -> None:
    """One process: nothing outlives it, and another can take its place at once."""
    process.start()
    assert process.child is not None
    process.child.kill()
    process.child.wait(PATIENCE_S)
    process.child = None
    with pytest.raises(httpx.TransportError):
        process.http.get("/healthz")
    process.start()


def test_collector_tells_its_own_life(process: Process, tmp_path: Path) -> None:
    """It says where it listens when it does, which node begins which epoch, and that it was told to stop."""
    store = SqliteStore.open(tmp_path / "collector.db")
    token = store.write(lambda tx: nodes.create_token(tx, "fra-1", NOON_MS))
    store.close()
    with (tmp_path / "log").open("wb") as log:
        process.start(log)
    process.http.headers["authorization"] = f"Bearer {token}"
    booted = process.http.post("/node/v1/boot", content=msgspec.json.encode(Boot("fra-1", "b")))
    # It looks from outside whether it listens, so others may have been answered before it says so.
    wait_until(lambda: "listens on" in (tmp_path / "log").read_text())
    process.end(signal.SIGTERM)
    said = (tmp_path / "log").read_text()
    assert f"listens on http://127.0.0.1:{process.port}, books in <SqliteStore" in said
    assert f"node fra-1 begins epoch {booted.json()['epoch']}" in said
    assert said.splitlines()[-1].endswith("stopped")


def test_collector_on_a_disk_that_takes_no_more_is_not_ready(process: Process, tmp_path: Path) -> None:
    """It lives, refuses what it cannot keep, and says on /readyz and in its log why it is not to be asked."""
    store = SqliteStore.open(tmp_path / "collector.db")
    token = store.write(lambda tx: nodes.create_token(tx, "fra-1", NOON_MS))
    store.close()
    process.http.headers["authorization"] = f"Bearer {token}"
    process.before = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (48 * 1024, 48 * 1024))
    with (tmp_path / "log").open("wb") as log:
        process.start(log)
    answers = (process.http.post("/node/v1/boot", content=msgspec.json.encode(Boot("fra-1", f"b{n}"))) for n in range(100))
    refused = next(answer for answer in answers if answer.status_code != 200)
    assert refused.status_code == 503
    # What was asked a moment ago may still be the answer: each probe waits for the disk.
    responses = (process.http.get("/readyz") for _ in range(10_000))
    red = next(response for response in responses if response.status_code != 200)
    assert red.status_code == 503
    assert "the collector's database" in red.text
    assert process.http.get("/healthz").status_code == 200
    assert "the database cannot be used" in (tmp_path / "log").read_text()


def test_machine_description_agrees_with_the_image() -> None:
    """Ports, volume and checks of fly.toml are those of the Dockerfile; the image holds usage and collector only."""
    fly = tomllib.loads((ROOT / "collector/fly.toml").read_text())
    image = (ROOT / "collector/Dockerfile").read_text()
    assert fly["env"]["PORT"] == "8100" == str(fly["http_service"]["internal_port"])
    assert f"EXPOSE {fly['env']['PORT']}" in image
    assert fly["mounts"]["destination"] == fly["env"]["TOLLWAY_DATA"]
    assert "TOLLWAY_DATA=/data" in image
    assert [check["path"] for check in fly["http_service"]["checks"]] == ["/readyz"]
    copied = [line.split()[1] for line in image.splitlines() if line.startswith("COPY")]
    assert [name for name in copied if not name.startswith("--")] == ["requirements/collector.txt", "usage/", "collector/"]
    assert "scripts/enter /usr/local/bin/tollway" in image


def test_store_is_its_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask was: the file, SQLite's log beside it, and a backup; also where an older release made it readable."""
    before = os.umask(0o022)
    try:
        path = tmp_path / "new" / "collector.db"
        for _ in range(2):
            store = SqliteStore.open(path)
            store.write(lambda tx: tx.run("UPDATE counters SET value = value"))
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
            assert modes == dict.fromkeys(("collector.db", "collector.db-wal", "collector.db-shm"), 0o600)
            store.close()
            path.chmod(0o644)
        store = SqliteStore.open(path)
        store.backup(tmp_path / "backup.db")
        store.close()
    finally:
        os.umask(before)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "backup.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("headers", "client", "is_told"),
    [
        ([], ("127.0.0.1", 1), True),
        ([], ("fdaa::3", 1), True),
        ([], ("8.8.8.8", 1), False),
        ([(b"x-forwarded-for", b"127.0.0.1")], ("172.16.0.2", 1), False),
        ([(b"fly-client-ip", b"8.8.8.8")], ("172.16.0.2", 1), False),
    ],
)
def test_figures_are_told_on_the_private_network_alone(
    headers: list[tuple[bytes, bytes]], client: tuple[str, int], is_told: bool
) -> None:
    """A proxy that serves the world says for whom it asks."""
    assert is_direct(Request({"type": "http", "headers": headers, "client": client})) == is_told
