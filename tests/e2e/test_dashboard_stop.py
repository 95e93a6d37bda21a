"""A page that is open and listens holds up no server that wants to stop."""

import http.client
import time
from pathlib import Path

import pytest

from collector.dashboard.live import STREAM_S_MAX
from tests.processes import Collector, Edge, Process, make_account, run


@pytest.mark.parametrize("server", ["native", "granian"])
def test_open_page_does_not_hold_up_the_stop(tmp_path: Path, server: str) -> None:
    """Its stream ends within seconds of SIGTERM, and the exit is a clean one."""
    with Edge(tmp_path, "", TOLLWAY_SERVER=server) as edge:
        connection = listen(edge)
        assert edge.stop() == 0
        connection.close()


def test_collector_ends_the_stream_at_once(tmp_path: Path) -> None:
    """On its own it has nothing to wait for: the page's stream ends with the signal, not when its quarter of a minute is over."""
    with Collector(tmp_path) as collector:
        connections = [listen(collector) for _ in range(3)]
        asked_s = time.monotonic()
        assert collector.stop() == 0
        assert time.monotonic() - asked_s < STREAM_S_MAX - 3
        for connection in connections:
            connection.close()


def listen(collector: Process) -> http.client.HTTPConnection:
    """A page of `alice`, signed in, that has been told of one event and waits for the next."""
    make_account(collector, "alice")
    secret = run(collector, "login", "alice").split()[0].rpartition("/")[2]
    connection = http.client.HTTPConnection("127.0.0.1", collector.port, timeout=20)
    connection.request("POST", f"/dashboard/login/{secret}")
    signed_in = connection.getresponse()
    signed_in.read()
    cookie = (signed_in.getheader("set-cookie") or "").partition(";")[0]
    connection.request("GET", "/dashboard/live?seen=another", headers={"cookie": cookie})
    stream = connection.getresponse()
    while not stream.readline().startswith(b"event: usage"):
        pass
    return connection
