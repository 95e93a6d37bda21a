"""A page that is open and listens holds up no server that wants to stop."""

import http.client
import time
from pathlib import Path

import pytest

from tests.processes import Edge, make_account, run


@pytest.mark.parametrize("server", ["native", "granian"])
def test_open_page_does_not_hold_up_the_stop(tmp_path: Path, server: str) -> None:
    """Its stream ends within seconds of SIGTERM, and the exit is a clean one."""
    with Edge(tmp_path, "", TOLLWAY_SERVER=server) as edge:
        make_account(edge, "alice")
        secret = run(edge, "login", "alice").split()[0].rpartition("/")[2]
        connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=20)
        connection.request("POST", f"/dashboard/login/{secret}")
        signed_in = connection.getresponse()
        signed_in.read()
        cookie = (signed_in.getheader("set-cookie") or "").partition(";")[0]
        connection.request("GET", "/dashboard/live?seen=another", headers={"cookie": cookie})
        stream = connection.getresponse()
        while not stream.readline().startswith(b"event: usage"):
            pass
        asked_s = time.monotonic()
        assert edge.stop() == 0
        assert time.monotonic() - asked_s < 8
        connection.close()
