"""The command line as a whole: one sentence for what goes wrong, no key that is repeated, completion that knows what there is."""

import os
import pty
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.processes import COMMAND, environment

Done = subprocess.CompletedProcess[str]


def tollway(folder: Path, *words: str, **env: str) -> Done:
    made = environment(folder, **({"PORT": str(free_port())} | env))
    return subprocess.run([COMMAND, *words], env=made, capture_output=True, text=True, timeout=60, check=False)


def store_of_bytes(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "collector.db").write_bytes(b"\0\xff" * 8192)


def store_is_a_folder(folder: Path) -> None:
    (folder / "data" / "collector.db").mkdir(parents=True)


def data_is_a_file(folder: Path) -> None:
    (folder / "data").write_text("")


def nothing(folder: Path) -> None:
    pass


ACCOUNT = (
    ("keys", "list"),
    ("credits", "add", "acme", "1"),
    ("keys", "create", "--account", "acme"),
    ("verify",),
    ("nodes", "list"),
)


@pytest.mark.parametrize("harm", [store_of_bytes, store_is_a_folder, data_is_a_file])
@pytest.mark.parametrize("words", [*ACCOUNT, ("serve",), ("collector",), ("backup", "/nowhere/at/all")], ids=" ".join)
def test_command_on_what_is_broken_is_one_sentence(tmp_path: Path, harm: object, words: tuple[str, ...]) -> None:
    """No traceback, no figure, no exit status of success."""
    assert callable(harm)
    harm(tmp_path)
    (tmp_path / "providers.toml").write_text("")
    done = tollway(tmp_path, *words)
    assert (done.returncode in (1, 2), done.stdout) == (True, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (("keys", "list"), {"TOLLWAY_DATABASE": "mysql://x"}),
        (("keys", "list"), {"TOLLWAY_DATABASE": f"postgresql://user:hush@127.0.0.1:{free_port()}/x"}),
        (("collector",), {"TOLLWAY_DATABASE": f"postgresql://user:hush@127.0.0.1:{free_port()}/x"}),
        (("serve",), {"TOLLWAY_DATABASE": f"postgresql://user:hush@127.0.0.1:{free_port()}/x"}),
        (("serve",), {"TOLLWAY_NODE": "a b"}),
        (("serve",), {"TOLLWAY_COLLECTOR_URL": "collector.example"}),
        (("serve",), {"TOLLWAY_PROVIDERS": "/nowhere/providers.toml"}),
        (("serve",), {"PORT": "99999"}),
        (("check", "/nowhere"), {}),
        (("journal", "status"), {"TOLLWAY_DURABILITY": "perhaps"}),
        (("login", "nobody"), {}),
        (("audit", "--json"), {}),
    ],
)
def test_command_with_a_wrong_setting_is_one_sentence(tmp_path: Path, words: tuple[str, ...], env: dict[str, str]) -> None:
    (tmp_path / "providers.toml").write_text("")
    done = tollway(tmp_path, *words, **env)
    assert done.returncode in (1, 2)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "hush" not in done.stderr


@pytest.mark.parametrize("words", [("keys", "revoke"), ("keys", "list"), ("credits", "show"), ("nonsense",), ()])
def test_key_in_the_wrong_place_is_not_repeated(tmp_path: Path, words: tuple[str, ...]) -> None:
    """As an argument too many, an unknown command, an account."""
    secret = "sk_live_" + "a1b2c3_" + "d" * 38
    for token in (secret, "op_" + secret[8:], "nt_" + "x" * 43, "ng_edge." + "x" * 43):
        for more in ((token, token), (f"--account={token}",)):
            done = tollway(tmp_path, *words, *more)
            assert done.returncode != 0
            assert token not in done.stdout + done.stderr
            assert "Traceback" not in done.stderr


def test_reader_who_leaves_and_interrupt_are_no_failure(tmp_path: Path) -> None:
    """`tollway … | head` and Ctrl-C end without a word."""
    assert tollway(tmp_path, "init").returncode == 0
    env = environment(tmp_path)
    child = subprocess.Popen([COMMAND, "completion", "bash"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert child.wait(20) == 141
    assert child.stderr.read() == ""
    child.stderr.close()
    ours, theirs = os.pipe()
    words = [COMMAND, "collector"]
    child = subprocess.Popen(words, env=env | {"PORT": str(free_port())}, stdout=theirs, stderr=theirs, text=True)
    os.close(theirs)
    assert os.read(ours, 1)
    child.send_signal(signal.SIGINT)
    assert child.wait(20) in (0, 130)
    said = b""
    while more := os.read(ours, 65536):
        said += more
    os.close(ours)
    assert b"Traceback" not in said


def test_version_is_the_packages(tmp_path: Path) -> None:
    done = tollway(tmp_path, "--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "tollway")
    assert done.stdout.split()[1][0].isdigit()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tollway ke", {"keys"}),
        ("tollway keys ro", {"rotate"}),
        ("tollway nodes create --gr", {"--group"}),
        ("tollway keys create --account acme --expi", {"--expires"}),
        ("tollway completion ", {"--help", "bash", "zsh", "fish"}),
        ("tollway usage keys --ti", set()),
    ],
)
def test_completion_knows_every_command(tmp_path: Path, line: str, expected: set[str]) -> None:
    """In a real bash: what may follow is offered, and values of options are not taken for commands."""
    script = tollway(tmp_path, "completion", "bash").stdout
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    program = f"{script}\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n_tollway\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert set(done.stdout.split()) == expected


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with books: two accounts with a key each, a node, an operator."""
    folder = tmp_path_factory.mktemp("books")
    for words in (
        ("keys", "create", "--account", "alice", "--credit", "1"),
        ("keys", "create", "--account", "bob"),
        ("nodes", "create", "fra-1"),
        ("operators", "create", "jo"),
    ):
        assert tollway(folder, *words).returncode == 0
    return folder


def names(folder: Path, kind: str) -> list[str]:
    return tollway(folder, "names", kind).stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["credits", "add", ""], "account"),
        (["keys", "create", "--account", ""], "account"),
        (["keys", "create", "--account", "=", ""], "account"),
        (["keys", "show", ""], "key"),
        (["keys", "update", "--name", "x", ""], "key"),
        (["nodes", "forfeit", ""], "node"),
        (["operators", "revoke", ""], "operator"),
        (["nodes", "create", ""], ""),
        (["keys", "create", "--limit-reset", ""], "daily weekly monthly none"),
        (["keys", "create", "--name", ""], ""),
    ],
)
def test_completion_knows_the_names_there_are(books: Path, words: list[str], kind: str) -> None:
    """In a real bash: accounts, keys, nodes, operators of the books that the command would work on, and an option's choices."""
    script = tollway(books, "completion", "bash").stdout
    quoted = " ".join(f"'{word}'" for word in ["tollway", *words])
    program = f"{script}\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words)}\n_tollway\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    env = environment(books) | {"PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", program], env=env, capture_output=True, text=True, timeout=60, check=True)
    offered = {word for word in done.stdout.split() if not word.startswith("--")}
    assert offered == set(kind.split() if " " in kind else names(books, kind) if kind else [])


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_completion_asks_the_collector_that_is_named(books: Path) -> None:
    """`--collector URL` on the line, as bash splits it: the names are asked for there."""
    script = tollway(books, "completion", "bash").stdout
    url = f"http://127.0.0.1:{free_port()}"
    line = f"tollway --collector {url} credits show "
    words = ["tollway", "--collector", "http", ":", "//127.0.0.1", ":", url.rpartition(":")[2], "credits", "show", ""]
    quoted = " ".join(f"'{word}'" for word in words)
    asked = 'command() { printf "asked %s\\n" "$*" >&3; }'
    program = f"{script}\n{asked}\nexec 3>&1\nCOMP_LINE='{line}'\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n_tollway"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"asked tollway --collector={url} names account\n"


def test_completion_of_other_shells_has_every_command(tmp_path: Path) -> None:
    for shell in ("zsh", "fish"):
        script = tollway(tmp_path, "completion", shell).stdout
        for word in ("rotate", "accept-gap", "doctor", "limit-reset", "collector"):
            assert word in script


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_completion_in_zsh(tmp_path: Path, books: Path) -> None:
    """At a terminal of its own: what was begun is completed, also behind an option."""
    (tmp_path / "_tollway").write_text(tollway(tmp_path, "completion", "zsh").stdout)
    lines = {
        "tollway keys ro\t": "tollway keys rotate",
        "tollway nodes create --gr\t": "tollway nodes create --group",
        "tollway credits show al\t": "tollway credits show alice",
        "tollway keys list --account bo\t": "tollway keys list --account bob",
    }
    terminal, theirs = pty.openpty()
    env = environment(books) | {"TERM": "dumb", "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}"}
    child = subprocess.Popen(["zsh", "-f", "-i"], env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    seen = b""

    def read_until(word: str) -> None:
        nonlocal seen
        until_s = time.monotonic() + 30
        while word.encode() not in seen:
            assert select.select([terminal], [], [], until_s - time.monotonic())[0], seen
            seen += os.read(terminal, 4096)

    try:
        begin = f"autoload -U compinit; compinit -u -d '{tmp_path}/dump'; source '{tmp_path}/_tollway'; print rea''dy\n"
        os.write(terminal, begin.encode())
        read_until("ready")
        for typed, completed in lines.items():
            seen = b""
            os.write(terminal, typed.encode())
            read_until(completed)
            os.write(terminal, b"\x15")
    finally:
        child.kill()
        child.wait(20)
        os.close(terminal)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_completion_in_fish(tmp_path: Path, books: Path) -> None:
    script = tollway(tmp_path, "completion", "fish").stdout
    env = environment(books) | {"PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}"}
    for line, expected in (
        ("tollway ke", "keys"),
        ("tollway keys ro", "rotate"),
        ("tollway keys create --expi", "--expires"),
        ("tollway credits show al", "alice"),
        ("tollway keys list --account bo", "bob"),
        ("tollway keys create --limit-reset dai", "daily"),
    ):
        program = f"{script}\ncomplete -C '{line}'"
        command = ["fish", "--no-config", "-c", program]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout.split()[0] == expected
