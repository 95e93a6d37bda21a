"""README's examples, run as they stand there, but for the address and the key."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import Account, Edge, make_account, run

TEXT = (Path(__file__).parents[2] / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SHELL = [block for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) if "curl" in block]

COMMANDS = [line.partition("#")[0] for line in TEXT.splitlines() if line.startswith("tollway ")]


def with_address(example: str, edge: Edge, account: Account) -> str:
    return example.replace("http://127.0.0.1:8000", edge.origin).replace("sk_live_…", account.key)


@pytest.mark.parametrize("example", PYTHON, ids=lambda example: example.split()[1])
def test_readme_python(edge: Edge, account: Account, example: str) -> None:
    """The echo comes back, with its cost."""
    code = with_address(example, edge, account)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Hello, Tollway" in done.stdout
    assert re.search(r"\d\.\d|\de-\d", done.stdout)


@pytest.mark.parametrize("example", SHELL, ids=["curl"] * len(SHELL))
def test_readme_curl(edge: Edge, account: Account, example: str) -> None:
    """Each curl line answers with JSON or a stream, and none with an error."""
    code = f"set -e; KEY={account.key}\n" + with_address(example, edge, account)
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert '"error"' not in done.stdout
    assert "data: [DONE]" in done.stdout
    assert "total_credits" in done.stdout


@pytest.mark.parametrize("server", ["native"], indirect=True)
def test_readme_commands(edge: Edge) -> None:
    """Each `tollway` line ends well, one after another."""
    assert len(COMMANDS) > 5
    key_id = make_account(edge, "readme").key_id
    for line in COMMANDS:
        run(edge, *shlex.split(line.replace(" ID ", f" {key_id} "))[1:])


def test_readme_names_both_bases() -> None:
    """Each flavour's address stands beside the clients that it is for."""
    rows = [row for row in TEXT.splitlines() if row.startswith(("| OpenAI's SDKs", "| OpenRouter's SDKs"))]
    assert [re.findall(r"8000(/[a-z0-9/]*)", row) for row in rows] == [["/v1"], ["/api/v1"]]
