"""docs/surfaces.md: its examples run as they stand there, but for the address; its matrix is that of the shipped table."""

import re
import subprocess
from pathlib import Path

import pytest

from routing.surfaces import SURFACES
from routing.table.config import parse
from routing.views.matrix import matrix
from tests.processes import Account, Edge

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "surfaces.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)


def test_docs_matrix_is_of_the_shipped_table() -> None:
    assert matrix(parse((ROOT / "providers.toml").read_text())) in TEXT


def test_docs_have_an_example_of_each_surface() -> None:
    """Each path stands in one; of Gemini's the two that generate."""
    shell = "".join(BLOCKS)
    for entry in SURFACES:
        if not entry.format.startswith("gemini_"):
            assert all(path.replace("{model:path}", "echo/echo-1") in shell for path in entry.paths), entry.format


@pytest.mark.parametrize("server", ["native"], indirect=True)
def test_docs_examples_run(edge: Edge, account: Account, tmp_path: Path) -> None:
    """One after the other in one folder: what speech makes is transcribed."""
    for block in BLOCKS:
        code = f"set -e; KEY={account.key}\n" + block.replace("http://127.0.0.1:8000", edge.origin)
        done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
        assert '"error"' not in done.stdout.replace('"error":null', ""), (block, done.stdout)
    assert (tmp_path / "speech.wav").read_bytes().startswith(b"RIFF")
    assert "b64_json" in (tmp_path / "picture.json").read_text()
