"""Sinks against what they speak to: a real NATS server with JetStream, killed and deaf at times; an endpoint that says no."""

import asyncio
import contextlib
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest

from collector.sinks import outbox
from collector.sinks.contract import SinkEvent, SinkRejected, Unavailable
from collector.sinks.nats import NatsSink
from collector.sinks.openmeter import OpenMeterSink
from collector.sinks.runner import SinkRunner
from collector.sinks.settings import read_sinks
from collector.store.sqlite import SqliteStore
from tests.collector.facts import Caller, make_fact
from tests.http_server import HttpHandler, serving
from tests.patience import PATIENCE_S, wait_until
from tests.ports import free_port

SUBJECT = "tollway.usage"
_encode = msgspec.json.Encoder().encode


class JetStream:
    """A real server with a stream on the subject, whose files survive a kill."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._command = [str(Path(sys.executable).with_name("nats-server")), "-js", "-a", "127.0.0.1", "-p", str(self.port)]
        self._command += ["-sd", str(folder)]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        wait_until(self.is_listening)

    def is_listening(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S):
            return True
        return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)

    def call(self, work: Callable[[Any], Any]) -> Any:
        async def run() -> Any:
            client = await nats.connect(self.url, allow_reconnect=True, max_reconnect_attempts=20)
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(run())

    def add_stream(self) -> None:
        self.call(lambda js: js.add_stream(name="USAGE", subjects=[SUBJECT], duplicate_window=3600.0))

    def ids(self) -> list[str]:
        """Of every message that the stream holds, in its order."""

        async def read(js: Any) -> list[str]:
            info = await js.stream_info("USAGE")
            messages = [await js.get_msg("USAGE", seq) for seq in range(1, info.state.last_seq + 1)]
            return [message.headers["Nats-Msg-Id"] for message in messages]

        found: list[str] = self.call(read)
        return found

    def count(self) -> int:
        async def read(js: Any) -> int:
            return int((await js.stream_info("USAGE")).state.messages)

        counted: int = self.call(read)
        return counted


@pytest.fixture
def jetstream(tmp_path: Path) -> Iterator[JetStream]:
    server = JetStream(tmp_path / "jetstream")
    server.start()
    yield server
    server.kill()


class Deaf:
    """A link to the server that loses a share of what the server says, in the middle of a connection."""

    def __init__(self, port: int, share: float, seed: int) -> None:
        self._target, self._share, self._dice = port, share, random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._sockets.append(near)
                try:
                    far = socket.create_connection(("127.0.0.1", self._target), timeout=PATIENCE_S)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                self._sockets.append(far)
                self._start(self._copy, near, far, 0.0)
                self._start(self._copy, far, near, self._share)

    def _copy(self, source: socket.socket, target: socket.socket, loss: float) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if b"PONG" not in data and b"INFO" not in data and self._dice.random() < loss:
                    continue  # the stream took the message, and its acknowledgement is lost
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


def facts(count: int) -> list[str]:
    """Records as the store keeps them."""
    caller = Caller("", "d", "key-1", "acme", "acme")
    return [_encode(make_fact(seq, caller, "fra-1", 7, f"fact-{seq}")).decode() for seq in range(1, count + 1)]


def publish_all(runner: SinkRunner, on_round: Callable[[int], None] = lambda rounds: None, rounds_max: int = 500) -> None:
    """Rounds until the outbox is empty; what is away is tried again at once."""
    for rounds in range(rounds_max):
        on_round(rounds)
        try:
            while runner.step():
                pass
            return
        except Unavailable:
            continue
    raise AssertionError("the outbox did not empty")


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # nats-py leaves the writer of a killed server open
@pytest.mark.parametrize(
    ("count", "kills"),
    [pytest.param(1_000, 2, id="short"), pytest.param(100_000, 10, id="long", marks=pytest.mark.deep)],
)
def test_nats_killed_and_deaf_has_every_event_once(
    jetstream: JetStream, tmp_path: Path, count: int, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JetStream killed with -9 while it is written to, and three of ten acknowledgements lost: every fact is in the stream, and
    none is there twice."""
    monkeypatch.setattr("collector.sinks.nats.ACK_S_MAX", 0.3)
    jetstream.add_stream()
    deaf = Deaf(jetstream.port, 0.3, seed=count)
    store = SqliteStore.open(tmp_path / "collector.db")
    payloads = facts(count)
    for at in range(0, count, 100):
        part = payloads[at : at + 100]
        store.write(lambda tx, part=part: outbox.enqueue(tx, ["nats"], part, 0))  # type: ignore[misc]
    now_ms = [1]

    def clock() -> int:
        now_ms[0] += outbox.CLAIM_MS + 1
        return now_ms[0]

    runner = SinkRunner(store, NatsSink(f"nats://127.0.0.1:{deaf.port}", SUBJECT), clock)
    killing = threading.Event()

    def kill_and_start() -> None:
        for _ in range(kills):
            if killing.wait(0.3):
                return
            jetstream.kill()
            jetstream.start()

    killer = threading.Thread(target=kill_and_start)
    killer.start()
    try:
        publish_all(runner, rounds_max=5_000)
    finally:
        killing.set()
        killer.join()
        runner.sink.close()
        deaf.close()
        store.close()
    assert jetstream.count() == count
    if count <= 1_000:
        ids = jetstream.ids()
        assert len(ids) == len(set(ids)) == count


def test_nats_without_a_stream_waits_and_says_what_is_missing(jetstream: JetStream) -> None:
    """A subject that no stream listens to keeps nothing: the event is not taken."""
    sink = NatsSink(jetstream.url, SUBJECT)
    with pytest.raises(Unavailable, match="nats stream add"):
        sink.publish([SinkEvent("gen-1", b"{}")])
    jetstream.add_stream()
    sink.publish([SinkEvent("gen-1", b"{}"), SinkEvent("gen-1", b"{}")])
    assert jetstream.ids() == ["gen-1"]
    with pytest.raises(SinkRejected):
        sink.publish([SinkEvent("gen-2", b"x" * (2 << 20))])
    sink.close()


class Endpoint(HttpHandler):
    """Answers as `script` says, in turn; keeps what it took."""

    script: list[tuple[int, dict[str, str]]]
    taken: list[dict[str, Any]]
    heads: list[dict[str, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status, headers = self.script.pop(0) if self.script else (204, {})
        self.heads.append({name.lower(): value for name, value in self.headers.items()})
        if status == 204:
            self.taken += msgspec.json.decode(body)
        self.send_response(status)
        for name, value in ({"content-length": "0"} | headers).items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def endpoint() -> Iterator[tuple[str, type[Endpoint]]]:
    handler = type("Scripted", (Endpoint,), {"script": [], "taken": [], "heads": []})
    with serving(handler) as server:
        yield f"http://127.0.0.1:{server.server_port}/api/v1/events", handler


@pytest.mark.parametrize(
    ("status", "error"), [(400, SinkRejected), (413, SinkRejected), (429, Unavailable), (500, Unavailable), (401, Unavailable)]
)
def test_openmeter_statuses(endpoint: tuple[str, type[Endpoint]], status: int, error: type[Exception]) -> None:
    """What never helps is refused for good; what an operator or time mends waits, as long as it says."""
    url, handler = endpoint
    sink = OpenMeterSink(url, "secret")
    handler.script[:] = [(status, {"retry-after": "7"})]
    with pytest.raises(error) as caught:
        sink.publish([SinkEvent("gen-1", b'{"id":"gen-1"}')])
    if isinstance(caught.value, Unavailable):
        assert caught.value.wait_s == 7
    sink.publish([SinkEvent("gen-1", b'{"id":"gen-1"}'), SinkEvent("gen-2", b'{"id":"gen-2"}')])
    assert handler.taken == [{"id": "gen-1"}, {"id": "gen-2"}]
    assert handler.heads[-1]["content-type"] == "application/cloudevents-batch+json"
    assert handler.heads[-1]["authorization"] == "Bearer secret"
    sink.close()


def test_openmeter_that_is_not_there_waits() -> None:
    sink = OpenMeterSink(f"http://127.0.0.1:{free_port()}/")
    with pytest.raises(Unavailable, match="no answer"):
        sink.publish([SinkEvent("gen-1", b"{}")])
    sink.close()


def test_settings_name_sinks_or_say_what_is_wrong() -> None:
    """None by default; a wrong address is named with its variable."""
    assert read_sinks({}) == ()
    sinks = read_sinks({"TOLLWAY_SINK_OPENMETER_URL": "http://x/", "TOLLWAY_SINK_NATS_URL": "nats://x:4222"})
    assert [sink.name for sink in sinks] == ["openmeter", "nats"]
    for sink in sinks:
        sink.close()
    for name in ("TOLLWAY_SINK_OPENMETER_URL", "TOLLWAY_SINK_NATS_URL"):
        with pytest.raises(ValueError, match=name):
            read_sinks({name: "ftp://x"})
