"""`tollway check` on wrong files: each says where, what is wrong and what would be right, with a status that CI can use."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.commands.check import check
from routing.table.config import ConfigError, parse
from routing.table.provider import TRAITS
from routing.views.advice import advise, is_private
from tests.http_server import HttpHandler, serving
from tests.ports import free_port
from tests.processes import COMMAND

WRONG = sorted((Path(__file__).parent / "wrong").glob("*.toml"))
SHIPPED = Path(__file__).parents[3] / "providers.toml"
PRICED = 'unlisted = { input = "1", output = "2" }\n'


def checked(path: Path, capsys: pytest.CaptureFixture[str], **options: bool) -> tuple[int, str]:
    """The exit status and what is printed, the table's version aside."""
    try:
        status = check(path, path.read_text(), **{"is_strict": False, "is_online": False, "as_json": False} | options)
    except ConfigError as error:
        return 2, f"{error}\n"
    lines = capsys.readouterr().out.splitlines()
    return status, "".join(f"{line}\n" for line in lines if not line.startswith("table "))


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_wrong_file_is_explained(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each file beside its golden answer; none passes."""
    status, said = checked(path, capsys)
    assert f"exit {status}\n{said}" == path.with_suffix(".txt").read_text()
    assert status in (1, 2)
    assert "line " in said or "missing: " in said


def test_wrong_files_are_more_than_a_hundred() -> None:
    """So many are kept, and no secret that stands in one of them is repeated."""
    assert len(WRONG) >= 220
    assert not any("hunter2" in path.read_text() or "gsk_abc" in path.read_text() for path in WRONG[0].parent.glob("*.txt"))


def test_shipped_table_has_no_advice() -> None:
    text = SHIPPED.read_text()
    assert advise(parse(text), text) == []


def test_check_strict_counts_missing_variables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A laptop seldom has all keys; CI that deploys should."""
    path = tmp_path / "providers.toml"
    path.write_text('[providers.p]\nbase_url = "https://p.example"\napi_key = "env:TOLLWAY_NOT_SET"\n' + PRICED)
    assert checked(path, capsys)[0] == 0
    status, said = checked(path, capsys, is_strict=True)
    assert (status, "missing: env:TOLLWAY_NOT_SET: set TOLLWAY_NOT_SET in the environment" in said) == (1, True)
    status = check(path, path.read_text(), is_strict=True, is_online=False, as_json=True)
    assert [found["path"] for found in json.loads(capsys.readouterr().out)["findings"]] == ["env:TOLLWAY_NOT_SET"]


@pytest.mark.parametrize(
    ("host", "is_inside"),
    [
        ("localhost", True),
        ("vllm", True),
        ("ollama.lan", True),
        ("llm.default.svc.cluster.local", True),
        ("10.0.0.8", True),
        ("192.168.1.4", True),
        ("fd00::1", True),
        ("8.8.8.8", False),
        ("api.example.com", False),
        ("internal.example.com", False),
    ],
)
def test_private_host(host: str, is_inside: bool) -> None:
    assert is_private(host) is is_inside


class Models(HttpHandler):
    """A provider that knows one key."""

    def do_GET(self) -> None:
        is_right = self.headers.get("authorization") == "Bearer right" and self.path == "/v1/models"
        self.send_response(200 if is_right else 401)
        self.send_header("content-length", "0")
        self.end_headers()


@pytest.fixture
def provider() -> Iterator[int]:
    with serving(Models) as server:
        yield server.server_port


def test_check_online_names_the_step_that_fails(
    provider: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right key, a wrong one, a port where nobody is, a name that nobody has, TLS with who does not speak it."""
    monkeypatch.setenv("RIGHT", "right")
    monkeypatch.setenv("WRONG", "wrong")
    keys = 'api_keys = ["env:RIGHT", "env:WRONG"]\n'
    places = {
        "there": (f"http://127.0.0.1:{provider}/v1", keys),
        "nobody": (f"http://127.0.0.1:{free_port()}/v1", 'api_key = "none"\n'),
        "nameless": ("https://no-such-host.invalid/v1", 'api_key = "none"\n'),
        "plain": (f"https://127.0.0.1:{provider}/v1", 'api_key = "none"\n'),
    }
    path = tmp_path / "providers.toml"
    path.write_text("".join(f'[providers.{name}]\nbase_url = "{url}"\n{key}{PRICED}' for name, (url, key) in places.items()))
    status = check(path, path.read_text(), is_strict=False, is_online=True, as_json=True)
    said = json.loads(capsys.readouterr().out)
    answers = {(answer["provider"], answer["key"]): answer for answer in said["online"]}
    assert status == 1
    assert answers["there", "env:RIGHT"]["problem"] == ""
    assert answers["there", "env:WRONG"]["problem"] == "the key is refused with 401"
    assert [answers[name, ""]["step"] for name in ("nobody", "nameless", "plain")] == ["TCP", "DNS", "TLS"]
    assert "right" not in str(said)


def test_check_online_of_a_silent_provider_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody listens and says nothing: the step has an end."""
    monkeypatch.setattr("edge.providers.trials.TRIAL_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        path = tmp_path / "providers.toml"
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        path.write_text(f'[providers.p]\nbase_url = "{url}"\napi_key = "none"\n{PRICED}')
        assert check(path, path.read_text(), is_strict=False, is_online=True, as_json=False) == 1
        assert "p (no key): fails at GET /models: timeout first byte" in capsys.readouterr().out
    shutil.rmtree(tmp_path)


def test_key_with_a_line_break_is_no_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a variable and from a file; a file with a service account's JSON is none of those, and no secret is repeated."""
    monkeypatch.setenv("TOLLWAY_PASTED", "hunter2\nhunter3")
    (tmp_path / "key").write_text("hunter2 \n hunter3\n")
    path = tmp_path / "providers.toml"
    for reference in ("env:TOLLWAY_PASTED", f"file:{tmp_path}/key"):
        path.write_text(f'[providers.p]\nbase_url = "https://p.example"\napi_key = "{reference}"\n' + PRICED)
        status, said = checked(path, capsys)
        assert (status, f"missing: {reference}: has a line break or a space within" in said) == (1, True)
        assert "hunter" not in said
        path.write_text(path.read_text().replace(PRICED, f'auth = "google"\n{PRICED}'))
        assert checked(path, capsys)[0] == 0


def test_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """Windows' editors begin with one; what is another encoding is said, with the place."""
    path = tmp_path / "providers.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SHIPPED.read_bytes().replace(b"\n", b"\r\n"))
    done = subprocess.run([COMMAND, "check", str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    path.write_bytes(SHIPPED.read_bytes()[:40].decode().encode("utf-16"))
    done = subprocess.run([COMMAND, "check", str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not UTF-8: byte 0 is 0xff" in done.stderr


def test_trait_of_a_translator_is_one_that_the_table_takes() -> None:
    """Each that a translator asks for, by its source; a misspelt one would change nothing and nobody would know."""
    asked = re.compile(r'"([a-z_]+)" (?:not )?in (?:\w+\.)*_?traits')
    found = {name for path in (SHIPPED.parent / "routing").rglob("*.py") for name in asked.findall(path.read_text())}
    assert {"cache_control", "signatures", "short_ids"} < found <= set(TRAITS)
