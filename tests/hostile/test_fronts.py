"""Request smuggling behind real proxies: the short form of `scripts/soak smuggling`."""

import shutil
from pathlib import Path

import pytest

from tests.edge.downstream.test_contract import Served
from tests.hostile.fronts import confusions, disagreements, front

COUNT = 40
SEED = 7


@pytest.mark.parametrize("kind", ["haproxy", "nginx"])
def test_caller_behind_a_proxy_gets_its_own_answer(kind: str, tmp_path: Path) -> None:
    """Whatever was sent through the same proxy, over the same connections, before."""
    if shutil.which(kind) is None:
        pytest.skip(f"{kind} is not installed")
    with Served(tmp_path, "native") as served, front(kind, served.port, tmp_path) as port:
        assert confusions(port, SEED, COUNT) == []


def test_granian_reads_what_we_read(tmp_path: Path) -> None:
    """Each may refuse what the other serves; what both serve at one place is the same request."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "granian").mkdir()
    with Served(tmp_path / "ours", "native") as ours, Served(tmp_path / "granian", "granian") as other:
        assert disagreements(ours.port, other.port, SEED, 10 * COUNT) == []
