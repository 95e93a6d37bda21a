"""Ourselves with everything on (authentication, credit, journal, metering), the collector embedded or in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.load import Target
from bench.mock import MODEL, MODEL_HELD
from bench.peer import Companion, Launch, Peer
from bench.process import free_port

PROGRAM = Path(sys.executable).parent / "tollway"
ACCOUNT = "bench"
NODE = "bench-1"

PROVIDER = """
[providers.mock]
base_url = "http://127.0.0.1:{mock_port}/v1"
api_key = "none"
"""
MODEL_TABLE = """
[providers.mock.models."{model}"]
input = "0.15"
output = "0.60"
context_tokens = 128_000
max_output_tokens = 16_384
"""


def _run(env: dict[str, str], *arguments: str) -> str:
    run = subprocess.run(
        [str(PROGRAM), *arguments], env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )
    if run.returncode:
        raise RuntimeError(f"tollway {' '.join(arguments)} failed: {run.stdout[-500:]}{run.stderr[-500:]}")
    return run.stdout


def _environment(folder: Path, data: str, port: int) -> dict[str, str]:
    return {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "TOLLWAY_DATA": str(folder / data),
        "TOLLWAY_PROVIDERS": str(folder / "providers.toml"),
    }


def _write_providers(folder: Path, mock_port: int) -> None:
    models = "".join(MODEL_TABLE.format(model=model) for model in (MODEL, MODEL_HELD))
    (folder / "providers.toml").write_text(PROVIDER.format(mock_port=mock_port).lstrip() + models)


def _make_key(env: dict[str, str]) -> str:
    Path(env["TOLLWAY_DATA"]).mkdir(exist_ok=True)
    told = json.loads(_run(env, "keys", "create", "--account", ACCOUNT, "--credit", "1000000", "--json"))
    return str(told["key"])


def _target(port: int, key: str) -> Target:
    return Target(port, "/v1/chat/completions", {"authorization": f"Bearer {key}"}, "mock/")


def _embedded(out: Path, folder: Path, port: int, mock_port: int) -> Launch:
    _write_providers(folder, mock_port)
    env = _environment(folder, "data", port)
    return Launch([str(PROGRAM), "serve"], _target(port, _make_key(env)), env)


def _on_granian(out: Path, folder: Path, port: int, mock_port: int) -> Launch:
    launch = _embedded(out, folder, port, mock_port)
    return Launch(launch.argv, launch.target, launch.env | {"TOLLWAY_SERVER": "granian"})


def _alone(out: Path, folder: Path, port: int, mock_port: int) -> Launch:
    _write_providers(folder, mock_port)
    collector_port = free_port()
    collector = _environment(folder, "collector", collector_port)
    key = _make_key(collector)
    told = _run(collector, "nodes", "create", NODE)
    token = next(line.removeprefix("token: ") for line in told.splitlines() if line.startswith("token: "))
    edge = _environment(folder, "data", port)
    (folder / "data").mkdir(exist_ok=True)
    edge |= {"TOLLWAY_COLLECTOR_URL": f"http://127.0.0.1:{collector_port}", "TOLLWAY_NODE": NODE, "TOLLWAY_NODE_TOKEN": token}
    companion = Companion([sys.executable, "-m", "collector"], collector_port, collector)
    return Launch([str(PROGRAM), "serve"], _target(port, key), edge, (companion,))


def _missing(out: Path) -> str | None:
    return None if PROGRAM.exists() else "not installed (scripts/install)"


def _version(out: Path) -> str:
    from importlib.metadata import version

    return version("tollway")


EMBEDDED_PEER = Peer(
    "Tollway",
    "routes, authenticates, reserves credit, journals, meters, charges; collector embedded",
    _embedded,
    _missing,
    _version,
)
GRANIAN_PEER = Peer("Tollway, granian", "as Tollway, with granian as its server", _on_granian, _missing, _version)
EDGE_PEER = Peer("Tollway edge", "the same; collector in a process of its own, not counted", _alone, _missing, _version)
