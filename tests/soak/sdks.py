"""SDKs, libraries and agents on every surface that they have, unmodified, on a provider of each kind: a table of what was said.

`--count` runs that many of the sets. What is installed is pinned in requirements/clients and tests/clients/sdks/package.json.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.clients import agents
from tests.clients.environments import DRIVERS, MADE, Missing, environment
from tests.processes import Edge, make_account
from tests.provider import Provider
from tests.soak.report import Report

PACKAGES = Path(__file__).parents[1] / "clients" / "sdks"
TIMEOUT_S = 300
SETS = ("cohere", "previous", "frameworks", "node", "continue", "cline")


def soak(report: Report, seed: int, count: int) -> None:
    failed: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Provider() as provider,
        Edge(Path(folder), agents.TABLE.format(port=provider.port)) as edge,
    ):
        for target, spoken in agents.SPOKEN.items():
            provider.script_by(f"sdk-{target}", spoken)
        env = os.environ | {
            "BASE": f"http://127.0.0.1:{edge.port}",
            "KEY": make_account(edge, "caller", "1000.00").key,
            "POOR": make_account(edge, "poor", "0.000001").key,
            "TARGETS": " ".join(["echo/echo-1", *(f"{target}/sdk-{target}" for target in agents.SPOKEN)]),
        }
        for name in SETS[:count]:
            try:
                rows = _rows(name, env)
            except Missing as missing:
                report.say(name, f"not run: {missing}")
                continue
            for client in dict.fromkeys(row["client"] for row in rows):
                own = [row for row in rows if row["client"] == client]
                bad = [f"{row['call']}: {row['problem']}" for row in own if row["problem"]]
                report.say(
                    client, f"{len(own) - len(bad)} of {len(own)} calls answered" + "".join(f"\n    {each}" for each in bad)
                )
                failed += bad
    assert not failed, failed


def _rows(name: str, env: dict[str, str]) -> list[dict[str, str]]:
    if name in ("continue", "cline"):
        return [_agent(name, env)]
    if name == "node":
        command = ["node", str(_installed() / "surfaces.mjs")]
    else:
        with environment(name) as where:
            command = [*where.command, str(DRIVERS / "surfaces_python.py"), name]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"client"')]
    if done.returncode or not rows:
        rows.append({"client": name, "call": "all", "problem": f"ended with {done.returncode}: {done.stderr[-800:]}"})
    return rows


def _agent(name: str, env: dict[str, str]) -> dict[str, str]:
    """A coding agent with the settings of docs/surfaces.md, for one prompt."""
    commands, model, prompt = _installed() / "node_modules" / ".bin", "mock/sdk-mock", "run both commands"
    with tempfile.TemporaryDirectory() as home:
        own = {"PATH": env["PATH"], "HOME": home}
        if name == "continue":
            entry = {
                "name": "Tollway",
                "provider": "openai",
                "model": model,
                "apiBase": env["BASE"] + "/v1",
                "apiKey": env["KEY"],
            }
            config = {"name": "tollway", "version": "1.0.0", "schema": "v1", "models": [entry | {"roles": ["chat"]}]}
            (Path(home) / "config.yaml").write_text(json.dumps(config))
            steps = [[str(commands / "cn"), "--config", "config.yaml", "--auto", "-p", prompt]]
        else:
            key = ["--apikey", env["KEY"], "--modelid", model, "--baseurl", env["BASE"] + "/v1"]
            steps = [[str(commands / "cline"), "auth", "openai", *key], [str(commands / "cline"), "--json", prompt]]
        for step in steps:
            done = subprocess.run(
                step, env=own, cwd=home, capture_output=True, text=True, timeout=90, check=False, stdin=subprocess.DEVNULL
            )
        problem = "" if agents.FINAL in done.stdout else f"ended with {done.returncode}: {(done.stdout + done.stderr)[-800:]}"
    return {"client": name, "call": "a prompt", "problem": problem}


def _installed() -> Path:
    """The folder with the packages for Node, installed if they are not there."""
    folder = MADE / "sdks"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "package.json").exists() or (folder / "package.json").read_text() != (PACKAGES / "package.json").read_text():
        shutil.copy(PACKAGES / "package.json", folder / "package.json")
        subprocess.run(["npm", "install", "--no-fund", "--no-audit"], cwd=folder, check=True, capture_output=True)
    shutil.copy(PACKAGES / "surfaces.mjs", folder / "surfaces.mjs")
    return folder
