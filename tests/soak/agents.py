"""Claude Code and Codex CLI on each kind of provider: a turn with two parallel tool calls, one that is shown as it comes, and one
without credit.

`--count` runs that many of the pairs. The agents are installed from npm at the versions of tests/clients/npm/package.json.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.clients import agents
from tests.clients.environments import MADE
from tests.processes import Edge, figure, make_account
from tests.provider import Provider
from tests.soak.report import Report

RUNS = {"claude": agents.run_claude, "codex": agents.run_codex}
PACKAGE = Path(__file__).parents[1] / "clients" / "npm" / "package.json"


def installed() -> Path:
    """The folder with the agents' commands, installed if they are not there."""
    folder = MADE / "agents"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "package.json").exists() or (folder / "package.json").read_text() != PACKAGE.read_text():
        shutil.copy(PACKAGE, folder / "package.json")
        subprocess.run(["npm", "install", "--no-fund", "--no-audit"], cwd=folder, check=True, capture_output=True)
    return folder / "node_modules" / ".bin"


def soak(report: Report, seed: int, count: int) -> None:
    commands = installed()
    with (
        tempfile.TemporaryDirectory() as folder,
        Provider() as provider,
        Edge(Path(folder), agents.TABLE.format(port=provider.port)) as edge,
    ):
        key, poor = make_account(edge, "caller", "1000.00").key, make_account(edge, "poor", "0.000001").key
        pairs = [(agent, target) for agent in RUNS for target in agents.SPOKEN][:count]
        for agent, target in pairs:
            model = f"{agent}-{target}"
            provider.script_by(model, agents.SPOKEN[target])
            with tempfile.TemporaryDirectory() as home:
                done = RUNS[agent](commands / agent, Path(home), edge.port, key, f"{target}/{model}", "run both commands")
            asked = [request.body.decode() for request in provider.requests[model]]
            assert agents.FINAL in done.stdout, (agent, target, done.stdout[-2000:], done.stderr[-2000:])
            assert len(asked) == 2, (agent, target, len(asked))
            assert all(command.removeprefix("echo ") in asked[1] for command in agents.COMMANDS), (agent, target)
            report.say(f"{agent} on {target}", "two parallel calls, their results, a final answer: two requests")
        _shown_and_counted(report, commands / "claude", edge, provider, key)
        for agent in {agent for agent, _ in pairs}:
            before = refused(edge)
            with tempfile.TemporaryDirectory() as home:
                RUNS[agent](commands / agent, Path(home), edge.port, poor, "mock/never", "run both commands")
            assert refused(edge) - before == 1, (agent, refused(edge) - before)
            assert not provider.requests["never"]
            report.say(f"{agent} without credit", "stops at one request")


def _shown_and_counted(report: Report, claude: Path, edge: Edge, provider: Provider, key: str) -> None:
    """Claude Code shows words before the answer is whole, and has the provider count what its context holds."""
    provider.script("slow", agents.slow("shown"))
    with tempfile.TemporaryDirectory() as home:
        said = agents.watch_claude(claude, Path(home), edge.port, key, "mock/slow", lambda: provider.release("shown"))
    assert said == agents.FINAL, said
    report.say("claude", "shows the first words while the provider has not said the rest")
    provider.script_by("counted", agents.messages)
    with tempfile.TemporaryDirectory() as home:
        done = agents.run_claude(claude, Path(home), edge.port, key, "claude/counted", "/context")
    lines = [request.line for request in provider.requests["counted"]]
    assert any("/count_tokens" in line for line in lines), (lines, done.stderr[-2000:])
    assert f"{agents.COUNTED // 1000}k" in done.stdout, done.stdout[-2000:]
    report.say("claude", f"asks the provider {len(lines)} times to count, and shows its count")


def refused(edge: Edge) -> int:
    """How many requests were refused so far."""
    return int(figure(edge, "tollway_requests_total", 'status="402"'))
