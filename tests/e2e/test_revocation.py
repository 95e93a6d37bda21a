"""A revoked key is heard of by every node within two seconds, whether the node is idle or busy."""

import threading
import time
from pathlib import Path

from tests.processes import Collector, Edge, make_account, post, run, run_json

HEARD_S_MAX = 2.0
BODY = {"model": "echo/echo-1", "messages": [{"role": "user", "content": "Hi"}]}


def ask(edge: Edge, key: str) -> int:
    return post(edge.port, BODY, {"authorization": f"Bearer {key}"}).status


def refused_after_s(edge: Edge, key: str, began_s: float) -> float:
    """Seconds since the revocation was committed until this node refuses the key."""
    while ask(edge, key) != 401:
        assert time.monotonic() < began_s + 10
        time.sleep(0.02)
    return time.monotonic() - began_s


def test_revocation_is_heard_within_two_seconds(tmp_path: Path) -> None:
    """By an idle node and by one under load."""
    with (
        (collector := Collector(tmp_path / "collector")),
        (idle := Edge(tmp_path / "idle", "", collector=collector, node="idle")),
        (busy := Edge(tmp_path / "busy", "", collector=collector, node="busy")),
    ):
        _, other = make_account(collector, "acme", "50"), make_account(collector, "other", "50")
        stop = threading.Event()

        def load() -> None:
            while not stop.is_set():
                assert ask(busy, other.key) == 200

        loader = threading.Thread(target=load)
        loader.start()
        try:
            key = run_json(collector, "keys", "create", "--account", "acme")
            assert [ask(edge, key["key"]) for edge in (idle, busy)] == [200, 200]
            run(collector, "keys", "revoke", key["id"])
            began_s = time.monotonic()
            assert max(refused_after_s(edge, key["key"], began_s) for edge in (busy, idle)) < HEARD_S_MAX
        finally:
            stop.set()
            loader.join()
