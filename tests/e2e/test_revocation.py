"""A revoked key is heard of by every node with its next poll, whether the node is idle or busy."""

import threading
from pathlib import Path

from edge.credit.credit import POLL_S
from tests.patience import wait_until
from tests.processes import Collector, Edge, make_account, post, run, run_json

HEARD_S_MAX = 2.0
BODY = {"model": "echo/echo-1", "messages": [{"role": "user", "content": "Hi"}]}


def ask(edge: Edge, key: str) -> int:
    return post(edge.port, BODY, {"authorization": f"Bearer {key}"}).status


def test_revocation_is_heard_by_the_next_poll(tmp_path: Path) -> None:
    """By an idle node and by one under load, although the key is known to both; polls are less than two seconds apart."""
    assert POLL_S < HEARD_S_MAX
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
            for edge in (busy, idle):
                wait_until(lambda: ask(edge, key["key"]) == 401)  # noqa: B023
        finally:
            stop.set()
            loader.join()
