"""Every command and sub-command, found by walking the parser's tree: a new one is held to the same manners by itself.

Rule of exit statuses, as docs/operations.md has it: 0 done; 1 what was asked for cannot be, or a finding; 2 said wrongly, or this
machine is not set up for it; 3 it wants a yes; 141 whoever read it has left.
"""

import argparse
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

import proxy
from edge import cli
from tests.e2e.test_arguments import SERVING, leaves, part
from tests.e2e.test_arguments import run as run_here
from tests.ports import free_port

STATUSES = (0, 1, 2, 3)
TABLE = '[providers.p]\nbase_url = "https://p.example"\napi_key = "none"\nunlisted = { input = "1", output = "2" }\n'
MADE = ("create", "init", "collector", "serve")
"""Commands that make what they are told to name."""
NEAR = {"account": "acme", "id": "", "node": "fra-1", "key": "", "group": "edge", "sink": "openmeter"}
"""What there is, by what a command calls it; of an id, whatever the first key has."""
Told = tuple[object, str, str]


def tree() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tollway")
    subparsers = parser.add_subparsers()
    cli._add_own(subparsers, proxy.app, proxy.edge, part)
    part("cli.commands").commands(subparsers)
    return parser


LEAVES = dict(leaves(tree()))
FAMILIES = sorted({path[:size] for path in LEAVES for size in range(len(path))})
ENDING = [path for path in LEAVES if path not in SERVING]
ACCOUNT = [path for path in ENDING if "command_of" in LEAVES[path]._defaults]
every_leaf = pytest.mark.parametrize("path", LEAVES, ids=" ".join)
every_ending = pytest.mark.parametrize("path", ENDING, ids=" ".join)


class Machine:
    """A folder with a table, and books in which there is one of each."""

    def __init__(self, folder: Path, key_id: str = "k1", operator_id: str = "o1") -> None:
        self.folder, self.key_id, self.operator_id = folder, key_id, operator_id

    def words(self, path: tuple[str, ...], **instead: str) -> list[str]:
        """The command with what it needs, and with `instead` for that."""
        words = list(path)
        whose: list[str] = []
        for action in LEAVES[path]._actions:
            is_named = action.required or action.dest in instead or not action.option_strings
            if isinstance(action, argparse._HelpAction) or not is_named:
                continue
            value = instead.get(action.dest) or self.value(path, action)
            (words if action.option_strings else whose).extend([*action.option_strings[:1], value])
        if "--key" in " ".join(words) or path != ("limits", "set"):
            return words + whose
        return [*words, "--account", instead.get("account", "acme")]

    def value(self, path: tuple[str, ...], action: argparse.Action) -> str:
        if action.choices:
            return str(next(iter(action.choices)))
        if action.dest == "id":
            return self.operator_id if path[0] == "operators" else self.key_id
        file = str(self.folder / ("copy.db" if path == ("backup",) else "providers.toml"))
        own = {"file": file, "old": file, "new": file, "keep_days": "90", "since": "2026-01-31"}
        own |= {"model": "echo/echo-1", "amount": "1.00", "name": "jo"}
        return own.get(action.dest) or NEAR.get(action.dest) or "acme"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal, no admin port, a folder of its own; an exception is one."""
    stand_in(tmp_path, monkeypatch)


def stand_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TOLLWAY_")]:
        patch.delenv(name)
    patch.chdir(folder)
    for name, value in (("TOLLWAY_DATA", str(folder / "data")), ("TOLLWAY_TRACEBACK", "1"), ("TOLLWAY_ADMIN", "none")):
        patch.setenv(name, value)
    patch.setattr(sys, "stdin", io.StringIO(""))


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder = tmp_path_factory.mktemp("furnished")
    with pytest.MonkeyPatch.context() as patch:
        stand_in(folder, patch)
        (folder / "providers.toml").write_text(TABLE)
        for words in (["keys", "create", "--account", "acme", "--credit", "5"], ["nodes", "create", "fra-1"]):
            assert run_here(words)[0] == 0
        assert run_here(["nodes", "create", "--group", "edge"])[0] == 0
        operator_id = json.loads(run_here(["operators", "create", "jo", "--json"])[1])["id"]
        return Machine(folder, json.loads(run_here(["keys", "list", "--json"])[1])[0]["id"], operator_id)


@pytest.fixture
def machine(furnished: Machine, tmp_path: Path) -> Machine:
    shutil.copytree(furnished.folder, tmp_path, dirs_exist_ok=True)
    return Machine(tmp_path, furnished.key_id, furnished.operator_id)


def is_mannered(told: Told) -> None:
    """A status that is documented, words for it, in plain text: nobody is at a terminal."""
    status, out, err = told
    assert status in STATUSES, told
    assert status == 0 or err or out, told
    assert "\x1b" not in out + err
    assert "Traceback" not in err


@every_leaf
def test_help_says_what_each_argument_is(path: tuple[str, ...]) -> None:
    status, out, err = run_here([*path, "--help"])
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: tollway {' '.join(path)}")
    unexplained = [action.dest for action in LEAVES[path]._actions if not action.help]
    assert unexplained == [], f"{' '.join(path)}: say what these are"


@pytest.mark.parametrize("path", FAMILIES, ids=lambda path: " ".join(path) or "tollway")
def test_family_without_an_action_names_them(path: tuple[str, ...]) -> None:
    """On standard error with status 2; a mistyped one with the nearest; in the help with a line each."""
    below = sorted({leaf[len(path)] for leaf in LEAVES if leaf[: len(path)] == path})
    assert run_here([*path])[0] == 2
    status, out, err = run_here([*path, "--help"])
    assert (status, err) == (0, "")
    assert all(re.search(rf"^ +{re.escape(name)}\b +\S", out, re.MULTILINE) or f"    {name}\n" in out for name in below)
    status, out, err = run_here([*path, below[0] + "x"])
    assert (status, out) == (2, "")
    assert f"did you mean {below[0]}?" in err


@every_leaf
def test_command_with_wrong_arguments_says_how_it_is_said(path: tuple[str, ...]) -> None:
    """Without what it needs, with an option or a word that it does not know: status 2, on standard error alone."""
    required = [action for action in LEAVES[path]._actions if action.required]
    for words in ([*path, "--no-such-option"], [*path, *["2026"] * 9], *([[*path]] if required else [])):
        status, out, err = run_here(words)
        assert (status, out) == (2, ""), words
        assert "tollway" in err


@every_ending
def test_command_said_rightly_is_mannered(machine: Machine, path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR or without; what is called JSON is JSON, all of it."""
    words = machine.words(path)
    has_json = any("--json" in action.option_strings for action in LEAVES[path]._actions)
    first = run_here([*words, "--json"] if has_json else words)
    is_mannered(first)
    if has_json and first[1]:
        json.loads(first[1])
    monkeypatch.setenv("NO_COLOR", "1")
    is_mannered(run_here(words))


@every_ending
def test_command_whose_reader_has_left_ends_without_a_word(machine: Machine, path: tuple[str, ...]) -> None:
    """`tollway … | head -1`: no traceback and no complaint, whatever was written when."""
    ours, theirs = os.pipe()
    os.close(ours)
    err = io.StringIO()
    with open(theirs, "w", encoding="utf-8") as out, redirect_stdout(out), redirect_stderr(err):
        try:
            status: object = cli.run(machine.words(path), proxy.app, proxy.edge, part)
        except SystemExit as left:
            status = left.code
    afterwards = run_here(machine.words(path))
    assert status == 141 if afterwards[0] == 0 and afterwards[1] else status in (*STATUSES, 141)
    assert "Traceback" not in err.getvalue()
    assert "Broken pipe" not in err.getvalue()


def _mistyped() -> Iterator[Any]:
    for path in ACCOUNT:
        for action in LEAVES[path]._actions:
            if action.dest in NEAR and path[-1] not in MADE and path != ("audit",):
                yield pytest.param(path, action.dest, id=f"{' '.join(path)} {action.dest}")


@pytest.mark.parametrize(("path", "dest"), list(_mistyped()))
def test_command_with_a_mistyped_name_says_the_nearest(machine: Machine, path: tuple[str, ...], dest: str) -> None:
    """An account, a key, a node, a group, a sink that there is not: status 1, what was most likely meant, and nothing is made."""
    there_is = NEAR[dest] or (machine.operator_id if path[0] == "operators" else machine.key_id)
    more = {"name": "other"} if path == ("keys", "update") else {}
    words = machine.words(path, **{dest: f"{there_is}x"}, **more)
    if dest == "group":
        words = [each for each in words if each != NEAR["node"]]
    before = run_here(["keys", "list", "--json"])[1]
    status, out, err = run_here(words)
    assert (status, out) == (1, ""), words
    assert there_is in err.partition(f"{there_is}x")[2], err
    assert run_here(["keys", "list", "--json"])[1] == before


@every_ending
def test_command_in_an_empty_folder_makes_nothing_unasked(tmp_path: Path, path: tuple[str, ...]) -> None:
    """It says what is missing and where that could be; books are made by what makes something new in them."""
    told = run_here(Machine(tmp_path).words(path))
    is_mannered(told)
    if LEAVES[path]._defaults.get("makes_store"):
        assert "books were made" in told[2]
    else:
        assert list(tmp_path.rglob("collector.db")) == []
    if path in ACCOUNT and not LEAVES[path]._defaults["makes_store"]:
        assert told[:2] == (1, "")
        assert "there are no books" in told[2]


@pytest.mark.parametrize("path", ACCOUNT, ids=" ".join)
def test_account_command_on_an_edge_leads_to_its_collector(
    tmp_path: Path, path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an operator's token: how to do it there. With one, or with --collector, it goes there, and nobody answers."""
    url = f"http://127.0.0.1:{free_port()}"
    words = Machine(tmp_path).words(path)
    monkeypatch.setenv("TOLLWAY_COLLECTOR_URL", url)
    status, out, err = run_here(words)
    assert (status, out) == (1, "")
    assert f"--collector {url}" in err
    monkeypatch.setenv("TOLLWAY_OPERATOR_TOKEN", "op_" + "x" * 20)
    for far in (words, ["--collector", url, *words]):
        status, out, err = run_here(far)
        assert (status, out) == (1, "")
        assert f"{url} did not answer" in err
    assert list(tmp_path.rglob("*.db")) == []
