"""Every command with arguments drawn by chance: an answer, or a sentence and an exit status; never an exception."""

import argparse
import io
import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import proxy
from edge import cli

DRAWS = 300
SERVING = (("serve",), ("collector",), ("journal", "ship"))
"""Would go on for ever when they are said rightly; what is wrong in them, the same parser says."""
VALUES = (
    *(
        "",
        "-",
        "--",
        "payer",
        "edge",
        "0",
        "-1",
        "1e400",
        "NaN",
        "inf",
        "5.00",
        "9" * 40,
        "0.0000000000001",
        "1,000",
        "0x10",
        "٣",
    ),
    *("é", "“quoted”", "\ud800", "two\nlines", "\0", "none", "all", "never", "30d", "99999999999d", "2027-01-01", "0001-01-01"),
    *(
        "9999-12-31",
        "UTC",
        "../../etc",
        "/dev/null",
        "/",
        "/nowhere/at/all",
        "*",
        "openai/*",
        ",",
        "%s",
        "{}",
        "@file",
        "x" * 300,
    ),
)


def leaves(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(the words of a command, its parser)."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield path, parser
    for action in below:
        for name, child in action.choices.items():
            yield from leaves(child, (*path, name))


def part(name: str) -> Any:
    return import_module(f"collector.{name}")


def commands() -> list[tuple[tuple[str, ...], Any]]:
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    cli._add_own(subparsers, proxy.app, proxy.edge, part)
    part("cli.commands").commands(subparsers)
    return [(path, leaf) for path, leaf in leaves(parser) if path not in SERVING]


def value_of(action: argparse.Action, dice: random.Random) -> str:
    if action.choices and dice.random() < 0.6:
        return str(dice.choice(list(action.choices)))
    return dice.choice(VALUES)


def drawn(path: tuple[str, ...], parser: Any, dice: random.Random) -> list[str]:
    words = list(path)
    for action in parser._actions:
        if not action.option_strings:
            words += [value_of(action, dice)] if dice.random() < 0.9 else []
        elif "--help" not in action.option_strings and dice.random() < (0.9 if action.required else 0.45):
            name = dice.choice(action.option_strings)
            words += [name] if action.nargs == 0 else [f"{name}={value_of(action, dice)}"]
    if dice.random() < 0.15:
        words.insert(dice.randrange(1, len(words) + 1), dice.choice(VALUES))
    return words


def run(words: list[str]) -> tuple[object, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status: object = cli.run(words, proxy.app, proxy.edge, part)
        except SystemExit as left:
            status = left.code
    return status, out.getvalue(), err.getvalue()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], tuple[object, str, str]]:
    """Runs a command in this process, where an exception is one."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("TOLLWAY_DATA", str(tmp_path / "data")), ("TOLLWAY_TRACEBACK", "1"), ("TOLLWAY_ADMIN", "none")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    return run


@pytest.mark.parametrize("words", [["check"], ["fmt"], ["prices", "update"], ["prices", "update", "--write"]], ids=" ".join)
@pytest.mark.parametrize("text", ["tollway_verify_faults 0\n", "[providers", "\x00", "[providers]\nx = 1\n"])
def test_table_that_is_none_is_named_by_every_command_on_it(machine: Any, tmp_path: Path, words: list[str], text: str) -> None:
    """What cannot be read as a table is told with its line, and stays as it was."""
    table = tmp_path / "table.toml"
    table.write_text(text)
    status, out, err = machine([*words, str(table)])
    assert status == 2
    assert "line" in out + err
    assert table.read_text() == text


@pytest.mark.parametrize("seed", range(2))
def test_command_with_any_arguments_ends_with_a_sentence(machine: Any, seed: int) -> None:
    """Exit statuses are those that are documented, what went wrong is said, and what is called JSON is JSON."""
    for words in (["init"], ["keys", "create", "--account", "payer", "--credit", "5"], ["nodes", "create", "edge"]):
        assert machine(words)[0] == 0
    dice, known = random.Random(f"arguments {seed}"), commands()
    for _ in range(DRAWS):
        words = drawn(*dice.choice(known), dice)
        status, out, err = machine(words)
        assert status in (0, 1, 2, 3), (words, status)
        assert status in (0, None) or out or err, words
        assert "Traceback" not in err, words
        if status == 0 and words[-1] == "--json" and "--" not in words and out:
            json.loads(out)
