"""A revoked key is heard of by every node with its next poll, whether the node is idle, busy or has another idea of the day."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.credit.credit import POLL_S
from tests.e2e.test_wrong_clock import BODY, wrong_clock
from tests.patience import wait_until
from tests.processes import Collector, Edge, make_account, post, run, run_json

HEARD_S_MAX = 2.0


def ask(edge: Edge, key: str) -> int:
    return post(edge.port, BODY, {"authorization": f"Bearer {key}"}).status


@contextmanager
def load_on(edge: Edge, key: str) -> Iterator[None]:
    """Requests one after another, each answered, for as long as the block lasts."""
    stop = threading.Event()
    statuses = set()

    def load() -> None:
        while not stop.is_set():
            statuses.add(ask(edge, key))

    loader = threading.Thread(target=load)
    loader.start()
    try:
        yield
    finally:
        stop.set()
        loader.join()
    assert statuses == {200}


def test_revocation_is_heard_by_the_next_poll(tmp_path: Path) -> None:
    """By an idle node, by one under load and by one whose clock is two days behind, although the key is known to all; polls are
    less than two seconds apart. What a key may spend a day is one day's on all of them, the collector's."""
    assert POLL_S < HEARD_S_MAX
    late_clock = wrong_clock(tmp_path / "late clock", -2)
    with (
        (collector := Collector(tmp_path / "collector")),
        (idle := Edge(tmp_path / "idle", "", collector=collector, node="idle")),
        (busy := Edge(tmp_path / "busy", "", collector=collector, node="busy")),
        (late := Edge(tmp_path / "late", "", collector=collector, node="late", **late_clock)),
    ):
        edges = (idle, busy, late)
        acme = make_account(collector, "acme", "50")
        cost = json.loads(post(late.port, BODY, acme.headers).body)["usage"]["cost"]
        terms = ("--limit", f"{5 * cost:.9f}", "--limit-reset", "daily")
        limited = run_json(collector, "keys", "create", "--account", "acme", *terms)["key"]
        key = run_json(collector, "keys", "create", "--account", "acme")
        with load_on(busy, acme.key):
            bought = [ask(edge, limited) for _ in range(4) for edge in edges]
            assert [ask(edge, key["key"]) for edge in edges] == [200, 200, 200]
            run(collector, "keys", "revoke", key["id"])
            for edge in edges:
                wait_until(lambda: ask(edge, key["key"]) == 401)  # noqa: B023
        assert 1 <= bought.count(200) <= 5
        assert set(bought) <= {200, 402, 503}
