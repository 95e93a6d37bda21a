"""A whole edge on a machine whose clock is two days behind or ahead: windows of limits, days of usage and expiries are the
collector's."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Collector, Edge, get, make_account, post, run, run_json

SHIFTED = """
import time
_ns, _s = time.time_ns, time.time
time.time_ns = lambda: _ns() + {seconds} * 1_000_000_000
time.time = lambda: _s() + {seconds}
"""
BODY = {"model": "echo/echo-1", "max_tokens": 400, "messages": [{"role": "user", "content": "tell me " * 100}]}


def wrong_clock(folder: Path, days: int) -> dict[str, Any]:
    """The environment of a process whose clock is so many days ahead."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SHIFTED.format(seconds=days * 86_400))
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("days", [-2, 2])
def test_edge_with_a_wrong_clock_books_by_the_collectors(tmp_path: Path, days: int) -> None:
    """As many requests a day as the limit buys; each record of today; the edge says what is wrong, and so does its doctor."""
    env = wrong_clock(tmp_path / "shifted", days)
    with (
        (collector := Collector(tmp_path / "collector")),
        (edge := Edge(tmp_path / "edge", "", collector=collector, node="late", **env)),
    ):
        account = make_account(collector, "acme", "5")
        first = post(edge.port, BODY, account.headers)
        assert first.status == 200
        cost = json.loads(first.body)["usage"]["cost"]
        limit = f"{5 * cost:.9f}"
        made = run_json(collector, "keys", "create", "--account", "acme", "--limit", limit, "--limit-reset", "daily")
        headers = {"authorization": f"Bearer {made['key']}"}
        statuses = [post(edge.port, BODY, headers).status for _ in range(9)]
        assert 1 <= statuses.count(200) <= 5
        assert set(statuses) <= {200, 402, 503}
        soon = run_json(collector, "keys", "create", "--account", "acme", "--expires", "1m")
        assert post(edge.port, BODY, {"authorization": f"Bearer {soon['key']}"}).status == 200
        told = get(edge.port, f"/api/v1/generation?id={first.headers['x-generation-id']}", account.headers).json()["data"]
        assert told["created_at"][:10] in (time.strftime("%Y-%m-%d", time.gmtime(time.time() - lag)) for lag in (0, 60))
        wrong = rf"(\d+) s {'behind' if days < 0 else 'ahead of'} the collector's"
        for said in (edge.log, run(edge, "doctor")):
            found = re.search(wrong, said)
            assert found is not None, said
            assert abs(int(found[1]) - 172_800) < 60  # of what a call took it is not known which half was the way back
        edge.stop()
        assert all(row["date"] == time.strftime("%Y-%m-%d", time.gmtime()) for row in run_json(collector, "usage", "acme"))
        run(collector, "verify")
