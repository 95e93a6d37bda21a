"""The first ten minutes of a newcomer: the first start, the line to paste, the commands beside the running server."""

import re
import subprocess
from pathlib import Path

from tests.e2e.oracle import exact, nano
from tests.e2e.statement import eventually, wait_spent_nano
from tests.processes import Account, Edge, get, run, run_json

TABLE = (Path(__file__).parents[2] / "providers.toml").read_text()
"""The one that is shipped."""


def demo(edge: Edge) -> Account:
    """The demo account, by the key that the first start printed on a line of its own."""
    (key,) = re.findall(r"^key: (\S+)$", edge.log, re.MULTILINE)
    return Account("demo", key, "")


def test_first_start(tmp_path: Path) -> None:
    """The printed curl line answers as pasted; the account has 5.00 dollars less its cost; a second start prints no key."""
    with (edge := Edge(tmp_path, TABLE)):
        account = demo(edge)
        (line,) = re.findall(r"^curl .*$", edge.log, re.MULTILINE)
        pasted = subprocess.run(["bash", "-c", line], capture_output=True, timeout=30, check=True)
        answer = exact(pasted.stdout)
        assert answer["choices"][0]["message"]["content"]
        cost_nano = nano(answer["usage"]["cost"])
        assert cost_nano > 0
        wait_spent_nano(edge.port, account, cost_nano)
        shown = run_json(edge, "credits", "show", "demo")
        credits = exact(get(edge.port, "/api/v1/credits", account.headers).body)["data"]
        assert nano(credits["total_credits"]) == 5_000_000_000
        assert nano(credits["total_usage"]) == cost_nano
        assert nano(shown["total_credits"]) == 5_000_000_000
        assert edge.stop() == 0
        assert edge.log.count("key: ") == 1
        edge.start()
        assert edge.log.count("key: ") == 1
        assert get(edge.port, "/api/v1/credits", account.headers).status == 200


def test_commands_beside_the_server(tmp_path: Path) -> None:
    """The commands work while the server runs and while it does not, and agree."""
    with (edge := Edge(tmp_path, TABLE)):
        account = demo(edge)
        run(edge, "credits", "add", "demo", "10.00")
        credits = exact(get(edge.port, "/api/v1/credits", account.headers).body)["data"]
        assert nano(credits["total_credits"]) == 15_000_000_000
        (listed,) = run_json(edge, "keys", "list")
        assert account.key not in str(listed)
        assert run_json(edge, "usage", "demo") == []
        assert "echo" in run(edge, "explain", "echo/echo-1")
        assert edge.stop() == 0
    assert nano(run_json(edge, "credits", "show", "demo")["total_credits"]) == 15_000_000_000
    run(edge, "check")
    run(edge, "journal", "status")
    run(edge, "verify")


def is_alive(edge: Edge) -> bool:
    try:
        return get(edge.port, "/healthz").status == 200
    except OSError:
        return False


def test_start_on_a_disk_that_refuses(tmp_path: Path) -> None:
    """No journal, no paid work; when the disk is well again service returns by itself."""
    edge = Edge(tmp_path, TABLE)
    in_the_way = tmp_path / "data" / "journal"
    in_the_way.parent.mkdir()
    in_the_way.touch()
    edge.launch()
    with edge:
        eventually(lambda: edge.log, lambda log: "the journal cannot be opened" in log)
        eventually(lambda: is_alive(edge), bool)
        assert not edge.is_ready()
        in_the_way.unlink()
        edge.wait_ready()
