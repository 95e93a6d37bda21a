"""Started programs are counted with their descendants and are gone afterwards."""

import sys
from pathlib import Path

import pytest

from bench.process import DidNotStart, Gone, is_alive, started, wait_until_listening
from tests.ports import free_port

PARENT = """
import socket, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; x = bytearray(30_000_000); time.sleep(60)"])
for _ in range(2_000_000): pass
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(child.pid, flush=True)
server.accept()
server.accept()
"""


def test_process_tree_counts_descendants_and_ends_with_them(tmp_path: Path) -> None:
    """The child is in the tree while it runs, CPU and memory are read, and stopping leaves nobody behind."""
    port = free_port()
    with started([sys.executable, "-c", PARENT, str(port)], tmp_path) as process:
        wait_until_listening(process, port, 10)
        tree = process.tree()
        assert len(tree) == 2
        assert process.cpu_s() > 0
        memory = process.memory()
        assert memory.rss_kb >= memory.pss_kb > 0
    with pytest.raises(Gone):
        process.memory()
    alive = [pid for pid in tree if is_alive(pid)]
    assert alive == []


def test_process_that_ends_early_is_told_with_its_log(tmp_path: Path) -> None:
    """The reason that the program printed is in the error."""
    with (
        started([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path) as process,
        pytest.raises(DidNotStart, match="no such thing"),
    ):
        wait_until_listening(process, free_port(), 5)
