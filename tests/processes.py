"""Real processes for tests: `tollway serve` and a collector of its own, each with its own data folder, port and providers.toml.

Rule: a process is started by its documented command and environment only, is ready when /readyz says so, and ends by its own id.
Strategy: output goes to a file in its folder, which is shown when the process does not do what it must.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.patience import PATIENCE_S
from tests.ports import free_port

READY_S_MAX = STOP_S_MAX = PATIENCE_S
COMMAND = str(Path(sys.executable).with_name("tollway"))


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a process whose data live in `folder`: ours, without any Tollway setting or proxy of this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOLLWAY_") and "proxy" not in name.lower()}
    kept["HOST"] = "127.0.0.1"
    kept["TOLLWAY_DRAIN_NOTICE_S"] = "0"  # no balancer looks
    return kept | {"TOLLWAY_DATA": str(folder / "data"), "TOLLWAY_PROVIDERS": str(folder / "providers.toml")} | more


class Process:
    """A server process of ours: its command, folder and port. `start` returns when it is ready for traffic."""

    def __init__(self, name: str, command: list[str], folder: Path, port: int, env: dict[str, str]) -> None:
        self.name, self.command, self.folder, self.port, self.env = name, command, folder, port, env
        self.child: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        path = self.folder / f"{self.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start without waiting; a session of its own, so that a kill reaches the workers too."""
        assert self.child is None, f"{self.name} runs already"
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.child = subprocess.Popen(
                self.command, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def wait_ready(self) -> float:
        """Seconds until /readyz answered 200."""
        assert self.child is not None
        started = time.monotonic()
        while time.monotonic() - started < READY_S_MAX:
            assert self.child.poll() is None, f"{self.name} ended with {self.child.returncode}:\n{self.log[-4000:]}"
            if self.is_ready():
                return time.monotonic() - started
            time.sleep(0.01)
        raise AssertionError(f"{self.name} was not ready within {READY_S_MAX} s:\n{self.log[-4000:]}")

    def is_ready(self) -> bool:
        try:
            return get(self.port, "/readyz").status == 200
        except OSError:
            return False

    def is_listening(self) -> bool:
        """Whether it takes connections, ready or not."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True

    def run_to_end(self) -> None:
        """For a command that does something and ends."""
        self.launch()
        assert self.child is not None
        status = self.child.wait()
        self.child = None
        assert status == 0, f"{self.name} ended with {status}:\n{self.log[-4000:]}"

    def kill(self) -> None:
        """kill -9, the whole process group, and wait until it is gone."""
        if self.child is not None:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait(STOP_S_MAX)
            self.child = None

    def stop(self) -> int:
        """SIGTERM, and the exit status; a process that does not drain in time fails the test."""
        if self.child is None:
            return 0
        self.child.terminate()
        try:
            status = self.child.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {STOP_S_MAX} s of SIGTERM:\n{self.log[-4000:]}") from None
        self.child = None
        return status

    def __enter__(self) -> Self:
        if self.child is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Edge(Process):
    """`tollway serve`, the collector embedded or reached at `collector_url` with a node's name and token."""

    def __init__(self, folder: Path, providers: str, *, collector: "Collector | None" = None, node: str = "", **env: str) -> None:
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "providers.toml").write_text(providers)
        if collector is not None:
            node = node or folder.name
            env = {
                "TOLLWAY_COLLECTOR_URL": collector.origin,
                "TOLLWAY_NODE": node,
                "TOLLWAY_NODE_TOKEN": collector.make_node(node),
            } | env
        self.admin_port = free_port()
        admin = f"127.0.0.1:{self.admin_port}"
        super().__init__(
            "edge", [COMMAND, "serve"], folder, port, environment(folder, **{"PORT": str(port), "TOLLWAY_ADMIN": admin} | env)
        )

    @property
    def base_url(self) -> str:
        """What OpenAI's clients are pointed at."""
        return f"{self.origin}/v1"

    @property
    def openrouter_url(self) -> str:
        """What OpenRouter's clients are pointed at."""
        return f"{self.origin}/api/v1"

    def rewrite_providers(self, text: str) -> None:
        (self.folder / "providers.toml").write_text(text)


class Collector(Process):
    """The collector as a process of its own, on SQLite in its folder unless `env` says otherwise."""

    def __init__(self, folder: Path, **env: str) -> None:
        port = free_port()
        super().__init__(
            "collector", [sys.executable, "-m", "collector"], folder, port, environment(folder, PORT=str(port), **env)
        )

    def make_node(self, name: str) -> str:
        """The token of a new node."""
        made = run(self, "nodes", "create", name)
        (token,) = (line.removeprefix("token: ") for line in made.splitlines() if line.startswith("token: "))
        return token


def is_running(pid: int) -> bool:
    """Whether it is a process still; a zombie has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass(frozen=True)
class Account:
    """An account with one key, as `tollway keys create` made it."""

    name: str
    key: str
    key_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}


def run(owner: Process, *arguments: str) -> str:
    """What `tollway …` prints, run beside the process that owns the data."""
    done = subprocess.run([COMMAND, *arguments], env=owner.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"tollway {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_json(owner: Process, *arguments: str) -> Any:
    """What `tollway … --json` prints, decoded."""
    return json.loads(run(owner, *arguments, "--json"))


def make_account(owner: Process, name: str, credit: str = "5.00") -> Account:
    """A new account with `credit` dollars and a key, made by the command line."""
    made = run_json(owner, "keys", "create", "--account", name, "--credit", credit)
    return Account(name, made["key"], made["id"])


@dataclass(frozen=True)
class Reply:
    """A whole HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self, **options: Any) -> Any:
        return json.loads(self.body, **options)


def ask(port: int, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes | None = None) -> Reply:
    """One request on a connection of its own, through the standard library's client."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def get(port: int, path: str, headers: dict[str, str] | None = None) -> Reply:
    return ask(port, "GET", path, headers=headers)


def figure(edge: Edge, name: str, labels: str = "") -> float:
    """The sum of what `/metrics` says under that name, where `labels` stands among the labels; 0 when there is nothing."""
    lines = get(edge.admin_port, "/metrics").body.decode().splitlines()
    samples = [line for line in lines if line.partition("{")[0].partition(" ")[0] == name and labels in line]
    return sum(float(line.rpartition(" ")[2]) for line in samples)


def post(port: int, value: Any, headers: dict[str, str], path: str = "/v1/chat/completions") -> Reply:
    """POST a value as JSON, or bytes as they are."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return ask(port, "POST", path, headers={"content-type": "application/json"} | headers, body=body)
