"""`tollway doctor` on eighty broken machines: each is told by what is wrong with it and what helps, and by no other failure.

Strategy: a machine is a folder and an environment that are well, and one thing that is done to them. The commands themselves run
as processes where the process matters (open files, exit status, a server beside it), and in this process elsewhere.
"""

import datetime
import importlib.util
import json
import os
import re
import resource
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import ClassVar

import pytest
import trustme

from collector import doctor
from collector.store.sqlite import SqliteStore
from edge.doctor import machine as machine_of_edge
from edge.doctor.doctor import examine
from edge.doctor.finding import Finding
from edge.doctor.machine import MEMORY_BYTES_MIN
from edge.doctor.variables import KNOWN
from edge.limits.capacity import memory_bytes
from tests.deploy.network import is_possible
from tests.http_server import HttpHandler, serving
from tests.ports import free_port
from tests.processes import COMMAND, Collector, Edge, environment, make_account, post, run, run_json

TABLE = """
[providers.acme]
base_url = "https://api.acme.example/v1"
api_key = "env:ACME_KEY"
[providers.acme.models.small]
input = "1"
output = "2"
"""


class Machine:
    """A machine that is well until something is done to it."""

    def __init__(self, folder: Path, stack: ExitStack, collector: Callable[[], Collector]) -> None:
        self.folder, self.stack, self._collector = folder, stack, collector
        self.data, self.table = folder / "data", folder / "providers.toml"
        self.data.mkdir(mode=0o700)
        self.table.write_text(TABLE)
        self.role = "edge"
        self.env = {
            "HOST": "127.0.0.1",
            "PORT": str(free_port()),
            "TOLLWAY_ADMIN": f"127.0.0.1:{free_port()}",
            "TOLLWAY_DATA": str(self.data),
            "TOLLWAY_PROVIDERS": str(self.table),
            "TOLLWAY_JOURNAL_BYTES_MAX": str(1 << 20),
            "ACME_KEY": "secret",
        }

    def join(self) -> Collector:
        """Become an edge of a collector that runs, with a group's token."""
        collector = self._collector()
        token = run_json(collector, "nodes", "create", "--group", "edge")["token"]
        self.env |= {"TOLLWAY_COLLECTOR_URL": collector.origin, "TOLLWAY_NODE_TOKEN": token}
        return collector

    def point_at(self, url: str) -> None:
        self.env |= {"TOLLWAY_COLLECTOR_URL": url, "TOLLWAY_NODE_TOKEN": "nt_" + "x" * 43}

    def occupy(self, variable: str) -> None:
        port = int(self.env[variable].rpartition(":")[2])
        taken = self.stack.enter_context(socket.socket())
        taken.bind(("127.0.0.1", port))
        taken.listen()

    def pool(self, *references: str) -> None:
        listed = ", ".join(f'"{one}"' for one in references)
        self.table.write_text(TABLE.replace('api_key = "env:ACME_KEY"', f"api_keys = [{listed}]"))

    def books(self) -> sqlite3.Connection:
        """A store that was made, open for harm."""
        SqliteStore.open(self.data / "collector.db").close()
        return self.stack.enter_context(closing(sqlite3.connect(self.data / "collector.db")))

    def examined(self) -> list[Finding]:
        return list(examine(self.role, doctor, self.env))


class _Plain(HttpHandler):
    """Some web server that is no collector, but for what a subclass says."""

    answers: ClassVar[dict[str, tuple[int, bytes]]] = {}

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        status, body = self.answers.get(self.path, (404, b"<h1>not here</h1>"))
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer


def server(machine: Machine, said: dict[str, tuple[int, bytes]], context: ssl.SSLContext | None = None) -> int:
    """Its port."""
    served = machine.stack.enter_context(serving(type("Said", (_Plain,), {"answers": said})))
    served.context = context
    return served.server_port


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Collector]]:
    """One collector for those machines that want one."""
    with ExitStack() as stack:
        made: list[Collector] = []

        def collector() -> Collector:
            if not made:
                made.append(stack.enter_context(Collector(tmp_path_factory.mktemp("collector"))))
            return made[0]

        yield collector


@pytest.fixture
def machine(tmp_path: Path, running: Callable[[], Collector], monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with ExitStack() as stack:
        made = Machine(tmp_path, stack, running)
        stack.enter_context(pytest.MonkeyPatch.context())
        yield made


def key_file(m: Machine, content: str, mode: int) -> None:
    path = m.folder / "key"
    path.write_text(content)
    path.chmod(mode)
    m.pool(f"file:{path}")


def no_folder(m: Machine) -> None:
    m.data.rmdir()
    m.data.touch()


def self_signed(m: Machine) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    m.point_at(f"https://localhost:{server(m, {}, context)}")


def another_nodes_token(m: Machine) -> None:
    m.env |= {
        "TOLLWAY_COLLECTOR_URL": m.join().origin,
        "TOLLWAY_NODE_TOKEN": m.join().make_node("theirs"),
        "TOLLWAY_NODE": "ours",
    }


def revoked_token(m: Machine) -> None:
    collector = m.join()
    m.env |= {"TOLLWAY_NODE": "gone", "TOLLWAY_NODE_TOKEN": collector.make_node("gone")}
    run(collector, "nodes", "revoke", "gone")


def wrong_clock(m: Machine) -> None:
    said = {"is_newest": False, "now_ms": time.time_ns() // 1_000_000 + 172_800_000}
    m.point_at(f"http://127.0.0.1:{server(m, {'/readyz': (200, b'ready'), '/node/v1/poll': (200, json.dumps(said).encode())})}")


def damaged_books(m: Machine) -> None:
    connection = m.books()
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.executemany("INSERT INTO counters (name, value) VALUES (?, 0)", [(f"n{n}" * 50,) for n in range(2_000)])
    connection.commit()
    connection.close()
    with (m.data / "collector.db").open("r+b") as file:
        for page in range(40, 120):
            file.seek(page * 4096)
            file.write(b"\xff" * 60)


def newer_books(m: Machine) -> None:
    m.books().execute("PRAGMA user_version = 999")


def books_of_the_future(m: Machine) -> None:
    connection = m.books()
    connection.execute(
        "INSERT INTO postings (at_ms, kind, debit, credit, amount_nano, account, ref) VALUES (?, 'top_up', 'a', 'b', 1, 'x', '')",
        (time.time_ns() // 1_000_000 + 10 * 86_400_000,),
    )
    connection.commit()


def left_behind(m: Machine) -> None:
    """A process that was killed while its usage waited, and a line that the disk has eaten."""
    collector = m.join()
    key = make_account(collector, f"left-{m.folder.name}"[:40]).key
    with Edge(m.folder, TABLE, TOLLWAY_COLLECTOR_URL=collector.origin, TOLLWAY_NODE_TOKEN=m.env["TOLLWAY_NODE_TOKEN"]) as edge:
        body = {"model": "echo/echo-1", "messages": [{"role": "user", "content": "Hi"}]}
        assert post(edge.port, body, {"authorization": f"Bearer {key}"}).status == 200
        os.kill(collector.pid, signal.SIGSTOP)  # usage is shipped once a second, and one may be over before the kill
        try:
            for _ in range(2):
                assert post(edge.port, body, {"authorization": f"Bearer {key}"}).status == 200
            edge.kill()
        finally:
            os.kill(collector.pid, signal.SIGCONT)
    for segment in (m.data / "journal").rglob("*.log"):
        lines = segment.read_bytes().splitlines(keepends=True)
        if len(lines) > 2:
            segment.write_bytes(lines[0][:12] + b"#" + lines[0][13:] + b"".join(lines[1:]))
    m.table.write_text(TABLE)


def in_memory(m: Machine) -> None:
    """As in a container whose volume was forgotten."""
    if not os.path.ismount("/dev/shm"):
        pytest.skip("this machine has no folder in memory")
    folder = m.stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
    m.env.update(TOLLWAY_DATA=folder)


def trusted(m: Machine, name: str, after: int = -1, before: int = 1) -> None:
    """A collector with a certificate of an authority that this process trusts, valid from `after` until `before`, in days."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    now = datetime.datetime.now(datetime.UTC)
    span = {"not_before": now + datetime.timedelta(after), "not_after": now + datetime.timedelta(before)}
    authority.issue_cert(name, **span).configure_cert(context)  # type: ignore[arg-type]
    authority.cert_pem.write_to_path(m.folder / "authority.pem")
    m.stack.enter_context(pytest.MonkeyPatch.context()).setenv("SSL_CERT_FILE", str(m.folder / "authority.pem"))
    m.point_at(f"https://localhost:{server(m, {}, context)}")


def token_file(m: Machine, mode: int) -> None:
    m.join()
    path = m.folder / "token"
    path.write_text(m.env["TOLLWAY_NODE_TOKEN"])
    path.chmod(mode)
    m.env["TOLLWAY_NODE_TOKEN"] = f"file:{path}"


def many_workers(m: Machine) -> None:
    if memory_bytes() // 256 >= MEMORY_BYTES_MIN:
        pytest.skip("this machine has memory for 256 workers")
    m.join()
    m.env.update(TOLLWAY_WORKERS="256")


def slow_disk(m: Machine, kind: str) -> None:
    """The folder is on another kind of file system, as this process sees its mounts."""
    patch = m.stack.enter_context(pytest.MonkeyPatch.context())
    patch.setattr(machine_of_edge, "_kind_of_file_system", lambda path: kind)


def collector_alone(m: Machine, *, taken: bool = False, **env: str) -> None:
    m.role = "collector"
    if taken:
        m.occupy("PORT")
    m.env.update(env)


def no_zones(m: Machine) -> None:
    if importlib.util.find_spec("tzdata") is not None:
        pytest.skip("tzdata is installed as a package")
    collector_alone(m)
    zoneinfo.reset_tzpath(())
    zoneinfo.ZoneInfo.clear_cache()
    m.stack.callback(zoneinfo.reset_tzpath)


BROKEN: dict[str, tuple[Callable[[Machine], object], str, str, str]] = {
    # what is done: (how, level, what is said, what helps)
    "a setting": (lambda m: m.env.update(PORT="80a"), "fail", "PORT must be a whole number", "correct the variable"),
    "data is a file": (no_folder, "fail", "is no folder", "TOLLWAY_DATA"),
    "data is read-only": (lambda m: m.env.update(TOLLWAY_DATA="/proc/tollway"), "fail", "cannot be written", "TOLLWAY_DATA"),
    "data is open": (lambda m: m.data.chmod(0o755), "warn", "others of this machine may read it", "chmod"),
    "disk is small": (
        lambda m: m.env.update(TOLLWAY_JOURNAL_BYTES_MAX=str(1 << 49)),
        "warn",
        "MiB are free, and the journal",
        "make room",
    ),
    "port is taken": (lambda m: m.occupy("PORT"), "fail", "cannot be listened on: Address already in use", "PORT names another"),
    "admin is taken": (lambda m: m.occupy("TOLLWAY_ADMIN"), "fail", "Address already in use", "TOLLWAY_ADMIN names another"),
    "host of another": (lambda m: m.env.update(HOST="203.0.113.7"), "fail", "cannot be listened on", "HOST names one"),
    "admin is open": (lambda m: m.env.update(TOLLWAY_ADMIN=f"0.0.0.0:{free_port()}"), "warn", "is open to whoever", "127.0.0.1"),
    "no proxy is trusted": (
        lambda m: m.env.update(TOLLWAY_CLIENT_ADDRESS_HEADER="x-forwarded-for", TOLLWAY_TRUSTED_PROXIES="none"),
        "warn",
        "no peer is trusted",
        "TOLLWAY_TRUSTED_PROXIES",
    ),
    "workers share": (
        lambda m: m.env.update(TOLLWAY_WORKERS="2"),
        "fail",
        "cannot share an embedded collector",
        "TOLLWAY_COLLECTOR_URL",
    ),
    "no table": (lambda m: m.table.unlink(), "fail", "does not exist", "TOLLWAY_PROVIDERS"),
    "table is torn": (lambda m: m.table.write_text(TABLE[:60]), "fail", "table", "tollway check"),
    "table is binary": (lambda m: m.table.write_bytes(b"\xff\xfe"), "fail", "cannot be read", "UTF-8"),
    "no key": (lambda m: m.env.pop("ACME_KEY"), "warn", "no provider is offered but the built-in echo", "set the keys"),
    "half a pool": (
        lambda m: m.pool("env:ACME_KEY", "env:ACME_B"),
        "warn",
        "1 of its 2 keys are not there: env:ACME_B",
        "take them out",
    ),
    "key file is away": (lambda m: m.pool(f"file:{m.folder}/none"), "fail", "No such file", "mount the secret"),
    "key file is empty": (
        lambda m: key_file(m, "", 0o600),
        "fail",
        "is empty",
        "mount the secret",
    ),
    "key file is open": (
        lambda m: key_file(m, "secret", 0o644),
        "warn",
        "everybody on this machine may read it",
        "chmod o=",
    ),
    "collector unknown": (lambda m: m.point_at("https://collector.invalid"), "fail", "the name is not known here", "resolver"),
    "collector is down": (lambda m: m.point_at(f"http://127.0.0.1:{free_port()}"), "fail", "no connection", "start it"),
    "collector is a stranger's": (self_signed, "fail", "its certificate is not accepted", "SSL_CERT_FILE"),
    "collector without TLS": (
        lambda m: m.point_at(f"https://127.0.0.1:{server(m, {})}"),
        "fail",
        "does not speak TLS",
        "http://",
    ),
    "no collector there": (
        lambda m: m.point_at(f"http://127.0.0.1:{server(m, {})}"),
        "fail",
        "is not ready (404)",
        "doctor collector",
    ),
    "a page there": (
        lambda m: m.point_at(f"http://127.0.0.1:{server(m, {'/readyz': (200, b'ok')})}"),
        "fail",
        "nothing there speaks to nodes",
        "tollway collector",
    ),
    "collector not ready": (
        lambda m: m.point_at(f"http://127.0.0.1:{server(m, {'/readyz': (503, b'the disk is full')})}"),
        "fail",
        "the disk is full",
        "doctor collector",
    ),
    "no token": (lambda m: m.join() and m.env.pop("TOLLWAY_NODE_TOKEN"), "fail", "TOLLWAY_NODE_TOKEN is not set", "nodes create"),
    "token unknown": (lambda m: m.point_at(m.join().origin), "fail", "this node token is unknown", "nodes list"),
    "token revoked": (revoked_token, "fail", "node gone was revoked", "nodes list"),
    "token of another": (another_nodes_token, "fail", "this token is node theirs's", "nodes list"),
    "group unknown": (
        lambda m: m.join() and m.env.update(TOLLWAY_NODE_TOKEN="ng_edge." + "x" * 43),
        "fail",
        "this group's token is unknown",
        "nodes groups",
    ),
    "name is shared": (
        lambda m: m.join() and m.env.update(TOLLWAY_NODE="edge-0", FLY_MACHINE_ID="e784079b"),
        "warn",
        "beside e784079b",
        "unset TOLLWAY_NODE",
    ),
    "name is none": (
        lambda m: m.join() and m.env.update(TOLLWAY_NODE="a b"),
        "fail",
        "TOLLWAY_NODE must be",
        "correct what it names",
    ),
    "clock is wrong": (wrong_clock, "warn", "s behind the collector's", "set the clock"),
    "books are damaged": (damaged_books, "fail", "books SQLite", "restore the newest backup"),
    "books are newer": (newer_books, "fail", "of schema 999", "newer"),
    "books are none": (lambda m: (m.data / "collector.db").write_bytes(b"x" * 8192), "fail", "cannot be read", "restore"),
    "clock was behind": (books_of_the_future, "fail", "a day ahead of this machine's clock", "set the clock"),
    "database is away": (
        lambda m: m.env.update(TOLLWAY_DATABASE=f"postgresql://u:pw@127.0.0.1:{free_port()}/x"),
        "fail",
        "TOLLWAY_DATABASE cannot be used",
        "start the database",
    ),
    "database of another kind": (
        lambda m: m.env.update(TOLLWAY_DATABASE="mysql://x"),
        "fail",
        "is no postgresql:// address",
        "unset it",
    ),
    "share": (lambda m: m.env.update(TOLLWAY_LEASE_SHARE="half"), "fail", "TOLLWAY_LEASE_SHARE", "correct the variable"),
    "credits": (lambda m: m.env.update(TOLLWAY_INFERENCE_CREDITS="x"), "fail", "TOLLWAY_INFERENCE_CREDITS", "correct the"),
    "sink": (
        lambda m: m.env.update(TOLLWAY_SINK_OPENMETER_URL="x"),
        "fail",
        "TOLLWAY_SINK_OPENMETER_URL",
        "correct the variable",
    ),
    "half of Stripe": (lambda m: m.env.update(TOLLWAY_STRIPE_KEY="x"), "warn", "of use together only", "set both"),
    "mail": (lambda m: m.env.update(TOLLWAY_SMTP_URL="mail.example"), "fail", "TOLLWAY_SMTP_URL", "correct it"),
    "public address": (lambda m: m.env.update(TOLLWAY_PUBLIC_URL="http://pay.example"), "warn", "over https alone", "TLS"),
    "a variable is misspelt": (
        lambda m: m.env.update(TOLLWAY_COLECTOR_URL="https://collector.example"),
        "warn",
        "TOLLWAY_COLECTOR_URL: is none that anything reads",
        "did you mean TOLLWAY_COLLECTOR_URL?",
    ),
    "a variable of nobody": (lambda m: m.env.update(TOLLWAY_X="1"), "warn", "TOLLWAY_X: is none that", "take it away"),
    "a value in quotes": (
        lambda m: m.env.update(TOLLWAY_REGION="'eu'"),
        "warn",
        "TOLLWAY_REGION: has quotes around its value",
        "take the quotes away",
    ),
    "a key in quotes": (
        lambda m: m.env.update(ACME_KEY='"secret"'),
        "warn",
        "ACME_KEY: has quotes around its value",
        "take the quotes away",
    ),
    "key goes in the clear": (
        lambda m: m.table.write_text(TABLE.replace("https", "http")),
        "warn",
        "sends a key to api.acme.example unencrypted",
        "https://",
    ),
    "nobody takes traces": (
        lambda m: m.env.update(TOLLWAY_OTLP_URL=f"http://127.0.0.1:{free_port()}"),
        "warn",
        "no connection",
        "TOLLWAY_OTLP_URL",
    ),
    "data is in memory": (in_memory, "warn", "is in memory (tmpfs)", "mount a disk there"),
    "data is in a container's layer": (
        lambda m: slow_disk(m, "overlay"),
        "warn",
        "is gone with the container",
        "mount a disk there",
    ),
    "data is on another machine": (lambda m: slow_disk(m, "nfs4"), "warn", "is on another machine (nfs4)", "mount a disk there"),
    "notice is the grace": (
        lambda m: m.env.update(TOLLWAY_DRAIN_NOTICE_S="20"),
        "warn",
        "what runs is cut",
        "make it longer",
    ),
    "workers share the memory": (many_workers, "warn", "MiB for each worker", "256 MiB"),
    "workers are many": (
        lambda m: m.join() and m.env.update(TOLLWAY_WORKERS="256"),
        "warn",
        "256 workers on",
        "TOLLWAY_WORKERS=",
    ),
    "a proxy is set": (
        lambda m: m.env.update(https_proxy="http://proxy:3128"),
        "warn",
        "https_proxy: is not used",
        'transport = "httpx"',
    ),
    "token file is open": (lambda m: token_file(m, 0o644), "warn", "may read it (TOLLWAY_NODE_TOKEN)", "chmod o="),
    "collector is this edge": (
        lambda m: m.point_at(f"http://127.0.0.1:{m.env['PORT']}"),
        "fail",
        "is this edge itself",
        "TOLLWAY_COLLECTOR_URL",
    ),
    "certificate has expired": (
        lambda m: trusted(m, "localhost", -3, -1),
        "fail",
        "certificate has expired",
        "renew it",
    ),
    "certificate is of tomorrow": (
        lambda m: trusted(m, "localhost", 1, 3),
        "fail",
        "not yet valid",
        "set the clock",
    ),
    "certificate has another name": (
        lambda m: trusted(m, "other.example"),
        "fail",
        "ostname mismatch",
        "as its certificate does",
    ),
    "collector's port is taken": (
        lambda m: collector_alone(m, taken=True),
        "fail",
        "cannot be listened on: Address already in use",
        "PORT names another",
    ),
    "collector's port is none": (lambda m: collector_alone(m, PORT="81OO"), "fail", "which is no port number", "PORT=8100"),
    "collector's host is another's": (
        lambda m: collector_alone(m, HOST="203.0.113.7"),
        "fail",
        "cannot be listened on",
        "HOST and PORT name",
    ),
    "no time zones": (no_zones, "warn", "know UTC alone", "tzdata"),
    "usage left behind": (left_behind, "warn", "records of processes that have ended", "journal ship"),
    "line is damaged": (left_behind, "warn", "damaged lines were set aside", "look at the disk"),
}


@pytest.fixture(autouse=True)
def on_a_disk(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The folders of tests may be in a container's own layer, in memory or on another machine, which the doctor would say."""
    real, base = machine_of_edge._kind_of_file_system, tmp_path_factory.getbasetemp()
    monkeypatch.setattr(
        machine_of_edge,
        "_kind_of_file_system",
        lambda path, *more: "ext4" if path.is_relative_to(base) else real(path, *more),
    )


def test_machine_that_is_well_is_told_so(machine: Machine) -> None:
    """Embedded, joined, and a collector alone: nothing to look at."""
    assert [one for one in machine.examined() if one.level != "ok"] == []
    before = sorted(path.name for path in machine.data.iterdir())
    machine.join()
    assert [one for one in machine.examined() if one.level != "ok"] == []
    machine.role = "collector"
    machine.books().close()
    assert [one for one in machine.examined() if one.level != "ok"] == []
    assert before == []


@pytest.mark.parametrize("name", BROKEN)
def test_broken_machine_is_told_with_its_remedy(machine: Machine, name: str) -> None:
    """That finding and, of those that fail, no other; nothing of a secret."""
    harm, level, said, remedy = BROKEN[name]
    harm(machine)
    found = machine.examined()
    (told,) = [one for one in found if said in one.lines() and one.level != "ok"]
    assert (told.level, remedy in told.remedy) == (level, True), told
    assert [one for one in found if one.level == "fail" and one is not told] == []
    text = "".join(one.lines() for one in found)
    assert not [secret for secret in (machine.env.get("TOLLWAY_NODE_TOKEN"), ":pw@") if secret and secret in text]


def test_doctor_says_whether_it_serves_by_its_exit_status(tmp_path: Path) -> None:
    """0 while it serves, beside the server too; 1 with a wrong table; JSON for programs."""
    with Edge(tmp_path, TABLE) as edge:
        told = run(edge, "doctor")
        assert f"tollway serves from this data folder (pid {edge.pid})" in told
        assert told.splitlines()[-1].startswith("0 wrong")
    (tmp_path / "providers.toml").write_text("[providers")
    done = subprocess.run([COMMAND, "doctor", "--json"], env=edge.env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert [one["subject"] for one in json.loads(done.stdout) if one["level"] == "fail"] == [f"table {tmp_path}/providers.toml"]


def test_doctor_sees_what_the_process_may(tmp_path: Path) -> None:
    """The limit of open files, which is the process's own; a trust store that is none."""
    (tmp_path / "providers.toml").write_text("")
    env = environment(tmp_path, PORT=str(free_port()), SSL_CERT_FILE=str(tmp_path / "none.pem"))
    done = subprocess.run(
        [COMMAND, "doctor"], env=env, capture_output=True, text=True, timeout=30, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
    )  # fmt: skip
    assert "warn  open files: at most 256" in done.stdout
    assert "LimitNOFILE" in done.stdout


def test_every_variable_that_is_read_is_known_to_the_doctor() -> None:
    """By the source: one that is new is not called a slip."""
    root = Path(__file__).parents[2]
    sources = [root / "proxy.py", *(path for room in ("edge", "collector", "usage") for path in (root / room).rglob("*.py"))]
    read = {name for path in sources for name in re.findall(r'"(TOLLWAY_[A-Z_]+)"', path.read_text())}
    assert "TOLLWAY_NODE_TOKEN" in read
    assert read <= KNOWN
    text = "".join(path.read_text() for path in sources)
    assert [name for name in KNOWN if name not in text and name.removeprefix("TOLLWAY_") not in text] == []


def isolated(folder: Path, script: str, **env: str) -> list[dict[str, str]]:
    """`tollway doctor` in namespaces of its own, after `script` has broken something there; what is not well."""
    if not is_possible():
        pytest.skip("no namespaces can be made here")
    (folder / "providers.toml").write_text(TABLE)
    given = environment(folder, PORT=str(free_port()), ACME_KEY="secret", TOLLWAY_JOURNAL_BYTES_MAX=str(1 << 20), **env)
    words = ["unshare", "-n", "-m", "--propagation", "private", "sh", "-c", f'{script} && exec "$0" doctor --json', COMMAND]
    done = subprocess.run(words, env=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    return [finding for finding in json.loads(done.stdout) if finding["level"] != "ok"]


TMPFS = "mkdir data && mount -t tmpfs"


@pytest.mark.parametrize(
    ("script", "env", "said", "remedy"),
    [
        ("true", {"TOLLWAY_COLLECTOR_URL": "https://collector.example"}, "no resolver answers", "/etc/resolv.conf"),
        ("true", {"TOLLWAY_COLLECTOR_URL": "https://10.1.2.3"}, "Network is unreachable", "has no way there"),
        ("true", {"TOLLWAY_COLLECTOR_URL": "https://[2001:db8::1]"}, "no connection: ", "IPv4, IPv6"),
        ("true", {"TOLLWAY_COLLECTOR_URL": "http://8.8.8.8"}, "unencrypted, over the internet", "https://"),
        (f"{TMPFS} -o size=4k none data && head -c 4096 /dev/zero > data/full", {}, "No space left", "make room"),
        (f"{TMPFS} -o nr_inodes=2 none data && touch data/last", {}, "and no inode is", "df -i"),
        (f"{TMPFS} -o ro none data", {}, "Read-only file system", "mount a writable volume"),
    ],
)  # fmt: skip
def test_machine_is_told_of_its_network_and_its_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, env: dict[str, str], said: str, remedy: str
) -> None:
    """No resolver, no way for IPv4 or IPv6, a token in the clear, a full disk, no inode, a disk that may not be written."""
    monkeypatch.chdir(tmp_path)
    found = isolated(tmp_path, script, **env)
    assert [one for one in found if said in one["said"] and remedy in one["remedy"]], found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_folder_in_which_somebody_else_has_written_is_told() -> None:
    """Something ran as root there once: what is not this user's is found, with whose it is."""
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        (data / "journal").mkdir()
        (data / "node").touch()
        try:
            for path in (data, data / "node"):
                os.chown(path, 65_534, 65_534)
            os.seteuid(65_534)
        except OSError:
            pytest.skip("this root is one of a namespace that has no other users")
        try:
            found = machine_of_edge._not_ours(data)
        finally:
            os.seteuid(0)
        assert found == (Path("journal"), 0)
        os.chown(data / "journal", 65_534, 65_534)
        os.seteuid(65_534)
        try:
            assert machine_of_edge._not_ours(data) is None
        finally:
            os.seteuid(0)


def test_kind_of_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    """Of what is mounted over what, with spaces in its name."""
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/vda / ext4 rw 0 0\nnas:/x /mnt/a\\040b nfs4 rw 0 0\nx /mnt xfs rw 0 0\n")
    found = [machine_of_edge._kind_of_file_system(Path(path), mounts) for path in ("/x", "/mnt/y", "/mnt/a b/c", "/mnt/a")]
    assert found == ["ext4", "xfs", "nfs4", "xfs"]
    assert machine_of_edge._kind_of_file_system(Path("/x"), tmp_path / "none") == ""


def test_collectors_image_has_a_doctor_of_its_own(tmp_path: Path) -> None:
    """Where nothing of the edge is installed: the same findings, a version, and its exit statuses."""

    def tollway(*words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        given = environment(tmp_path, TOLLWAY_MODULE="collector", **env)
        command = [sys.executable, "-m", "collector", *words]
        return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)

    assert tollway("--version").stdout.startswith("tollway ")
    port = str(free_port())
    done = tollway("doctor", "collector", PORT=port)
    assert (done.returncode, f"ok    port: 0.0.0.0:{port} is free" in done.stdout.replace("127.0.0.1", "0.0.0.0")) == (0, True)
    done = tollway("doctor", "--json", PORT=port, TOLLWAY_DATABASE="mysql://x")
    assert done.returncode == 1
    assert {one["level"] for one in json.loads(done.stdout)} == {"ok", "fail"}
    with Collector(tmp_path / "one") as collector:
        told = run(collector, "doctor", "collector")
        assert f":{collector.port}: a collector serves there" in told
        assert "0 wrong" in told
