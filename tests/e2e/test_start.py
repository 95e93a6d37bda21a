"""What keeps an edge from starting is one line that names it, whichever server was to listen."""

import subprocess
from pathlib import Path

import pytest

from tests.patience import wait_until
from tests.ports import free_port
from tests.processes import COMMAND, Edge, environment


def serve(folder: Path, **env: str) -> tuple[int, str, str]:
    """`tollway serve` in this folder, to its end: exit status, standard output, standard error."""
    folder.mkdir(exist_ok=True)
    (folder / "providers.toml").write_text("")
    given = environment(folder, **({"PORT": str(free_port())} | env))
    done = subprocess.run([COMMAND, "serve"], env=given, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"TOLLWAY_DATABASE": "postgresql://u:hush@127.0.0.1:1/x"}, "TOLLWAY_DATABASE cannot be used: connection failed"),
        ({"TOLLWAY_DATABASE": "postgresql://u:hush@[bad"}, "TOLLWAY_DATABASE cannot be used"),
        ({"TOLLWAY_DATABASE": "mysql://u:hush@x"}, "TOLLWAY_DATABASE must be a postgresql:// address"),
        ({"TOLLWAY_NODE": "bad/name"}, "TOLLWAY_NODE must be up to 63 letters"),
        ({"TOLLWAY_DATA": "/dev/null/x"}, "the data folder /dev/null/x cannot be used"),
        ({"TOLLWAY_LEASE_SHARE": "half"}, "TOLLWAY_LEASE_SHARE must be"),
        ({"TOLLWAY_INFERENCE_CREDITS": "perhaps"}, "TOLLWAY_INFERENCE_CREDITS is 'perhaps'; it is yes or no"),
        ({"TOLLWAY_SINK_OPENMETER_URL": "meter:80"}, "TOLLWAY_SINK_OPENMETER_URL must begin with http://"),
        ({"TOLLWAY_DRAIN_GRACE_S": "soon"}, "TOLLWAY_DRAIN_GRACE_S must be a whole number from 0"),
        ({"PORT": "70000"}, "PORT must be"),
    ],
)
def test_setting_that_cannot_work_is_one_line(server: str, env: dict[str, str], said: str, tmp_path: Path) -> None:
    """It names the variable and never says that it listens; no password, no traceback."""
    status, out, err = serve(tmp_path / "edge", TOLLWAY_SERVER=server, **env)
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    assert said in err
    assert "hush" not in err


def test_store_that_is_damaged_is_one_line(server: str, tmp_path: Path) -> None:
    """The file is named; nothing is written over it."""
    data = tmp_path / "edge" / "data"
    data.mkdir(parents=True)
    (data / "collector.db").write_bytes(b"\x5a" * 5000)
    status, out, err = serve(tmp_path / "edge", TOLLWAY_SERVER=server)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"cannot open {data / 'collector.db'}: file is not a database" in err
    assert (data / "collector.db").read_bytes() == b"\x5a" * 5000


def test_port_that_is_taken_is_one_line(server: str, tmp_path: Path) -> None:
    """The one who has it serves on."""
    with Edge(tmp_path / "first", "", TOLLWAY_SERVER=server) as first:
        wait_until(lambda: f"tollway listens on http://127.0.0.1:{first.port}" in first.log)
        status, out, err = serve(tmp_path / "second", TOLLWAY_SERVER=server, PORT=str(first.port))
        assert (status, err.count("\n")) == (2, 1)
        assert "listens on" not in out
        assert f"port {first.port} cannot be listened on" in err
        assert first.is_ready()
