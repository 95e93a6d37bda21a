"""What a start does not need is not loaded by it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.ports import free_port

TREE = Path(__file__).parents[1]
LATER = (
    *("collector.api.routes", "collector.cli.commands", "collector.dashboard.routes", "edge.upstream.httpx_transport"),
    *("granian", "httpx", "jinja2", "markupsafe", "orjson", "psycopg", "routing.views.explanation", "smtplib"),
    *("zoneinfo",),
)
"""Pages, operations, the command line, mail, libraries of the other server, transport and database; beside these, every surface
but Chat and every translator."""
SERVE = """
import sys
from edge import cli
import proxy

def report(*_):
    print("LOADED", *sys.modules)
    raise SystemExit(0)

cli._say_listening = report
sys.argv = ["tollway", "serve"]
proxy.main()
"""


def test_start_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """From the command line to the moment that callers can connect, with the collector embedded."""
    settings = {"TOLLWAY_DATA": str(tmp_path), "PORT": str(free_port()), "TOLLWAY_PROVIDERS": str(TREE / "providers.toml")}
    env = {name: value for name, value in os.environ.items() if not name.startswith("TOLLWAY_")} | settings
    run = subprocess.run(
        [sys.executable, "-c", SERVE], cwd=TREE, env=env, capture_output=True, text=True, timeout=30, check=False
    )
    loaded = next((line.split()[1:] for line in run.stdout.splitlines() if line.startswith("LOADED")), None)
    assert loaded is not None, run.stderr[-2_000:]
    assert set(LATER) & set(loaded) == set()
    spoken = {name for name in loaded if name.startswith(("routing.surfaces.", "routing.translate."))}
    known = ("adapter", "admission", "errors", "json_request", "openai", "openai.chat")
    assert spoken == {f"routing.surfaces.{name}" for name in known}
