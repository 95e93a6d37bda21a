"""What others on the machine and on the callers' port do not get to see: files, figures, what is wrong."""

import os
import stat
from pathlib import Path

import pytest

from edge.data_folder import make_private
from edge.settings import SettingError, Settings
from tests.e2e.conftest import providers_toml
from tests.processes import Edge, get, make_account, post, run
from tests.provider import Provider


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.rglob("*")}


def test_files_of_an_edge_are_its_owners_alone(provider: Provider, tmp_path: Path) -> None:
    """Journal, database, name, lock and backup; with a umask that lets others read, and a folder that was open before."""
    (tmp_path / "data").mkdir(0o755)
    (tmp_path / "data" / "old").write_text("from an older release")
    (tmp_path / "data" / "old").chmod(0o644)
    before = os.umask(0o022)
    try:
        with Edge(tmp_path, providers_toml(provider)) as edge:
            data = Path(edge.env["TOLLWAY_DATA"])
            account = make_account(edge, "acct")
            asked = {"model": "echo/echo-1", "messages": [{"role": "user", "content": "x"}]}
            assert post(edge.port, asked, account.headers).status == 200
            run(edge, "backup", str(data / "backup.db"))
            found = modes(data)
    finally:
        os.umask(before)
    assert data.stat().st_mode & 0o777 == 0o700
    assert {"collector.db", "collector.db-wal", "backup.db", "node", "journal"} <= set(found)
    assert [name for name, mode in found.items() if mode & 0o077] == []


def test_shared_folder_is_left_alone(tmp_path: Path) -> None:
    """Nobody wants /tmp closed to everybody else."""
    tmp_path.chmod(0o1777)
    make_private(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777


def test_figures_are_at_the_operators_address_alone(provider: Provider, tmp_path: Path) -> None:
    """The callers' port says whether to send traffic, and no more."""
    with Edge(tmp_path, providers_toml(provider)) as edge:
        assert get(edge.port, "/metrics").status == 404
        assert get(edge.port, "/readyz").json() == {"status": "ready"}
        assert b"tollway_caller_connections_max" in get(edge.admin_port, "/metrics").body
        assert get(edge.admin_port, "/readyz").json()["status"] == "ready"
        assert get(edge.admin_port, "/v1/models").status == 404


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("127.0.0.1", 9_000)),
        ("none", None),
        ("0.0.0.0:9464", ("0.0.0.0", 9464)),
        ("[::1]:9464", ("::1", 9464)),
        ("9464", SettingError),
        ("host:port", SettingError),
        (":80", SettingError),
    ],
)
def test_operators_address_is_read(text: str, expected: object) -> None:
    """By default on the loopback interface; what cannot be meant is refused with the variable's name."""
    if expected is SettingError:
        with pytest.raises(SettingError, match="TOLLWAY_ADMIN"):
            Settings.read({"TOLLWAY_ADMIN": text})
    else:
        assert Settings.read({"TOLLWAY_ADMIN": text}).admin == expected


@pytest.mark.parametrize(("name", "value"), [("TOLLWAY_TRUSTED_PROXIES", "10.0.0"), ("TOLLWAY_CLIENT_ADDRESS_HEADER", "a b")])
def test_setting_that_cannot_be_meant(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name):
        Settings.read({name: value})
