"""`tollway fmt`: the table as everybody would write it, with its comments and its order.

Rule: what it means does not change, which is proved before anything is written; a second run changes nothing.
What changes: one space around `=`, inside of braces and behind commas; two before a comment at a line's end; no space at a line's
end; one empty line at most between lines, one before each table.
Strategy: tomlkit, which keeps comments and the order; without it the command says how to get it.
"""

import difflib
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from edge.settings import SettingError

_BLANKS = re.compile(r"\n{3,}")


def formatted(text: str) -> str:
    """The text in its one form. SettingError: tomlkit is not there; tomllib.TOMLDecodeError: it is no TOML."""
    try:
        import tomlkit
    except ModuleNotFoundError:
        raise SettingError("`tollway fmt` needs tomlkit: pip install 'tollway[tools]'") from None
    meaning = tomllib.loads(text)
    document = tomlkit.parse(text)
    _walk(document)
    made = "\n".join(line.rstrip() for line in tomlkit.dumps(document).split("\n"))
    made = _BLANKS.sub("\n\n", made).strip("\n") + "\n"
    if tomllib.loads(made) != meaning:
        raise SettingError("the table has a text over several lines, which `tollway fmt` would change: write it on one")
    return made


def _walk(container: Any) -> None:
    from tomlkit.items import AoT, InlineTable, Table

    body = container.body if hasattr(container, "body") else container.value.body
    for key, item in body:
        if key is None:
            continue
        if isinstance(item, Table):
            _walk(item.value)
        elif isinstance(item, AoT):
            for table in item.body:
                _walk(table.value)
        else:
            _spaced(key)
            if item.trivia.comment:
                item.trivia.comment_ws = "  "
            item.trivia.indent = ""
            if isinstance(item, InlineTable):
                _inline(item)


def _spaced(key: Any) -> None:
    key._original = key.as_string().strip()  # tomlkit keeps the space behind a key as a part of it
    key.sep = " = "


def _inline(table: Any) -> None:
    """`{ a = 1, b = { c = 2 } }`, whatever the spaces were."""
    from tomlkit.items import InlineTable

    members = [(key, item) for key, item in table.value.body if key is not None]
    table.value.body[:] = members  # the rest is the space between them
    for key, item in members:
        _spaced(key)
        item.trivia.indent, item.trivia.trail = " ", ""
        if isinstance(item, InlineTable):
            _inline(item)
    if members:
        members[-1][1].trivia.trail = " "


def format_file(path: Path, *, is_check: bool) -> int:
    """Write the file anew, or with `is_check` only say what would change. The exit status: 1 if the check finds a difference."""
    text = path.read_text(encoding="utf-8-sig")  # as `tollway check` reads it: with a byte order mark or without
    made = formatted(text)
    if made == text:
        return 0
    if is_check:
        lines = difflib.unified_diff(text.splitlines(), made.splitlines(), str(path), "formatted", lineterm="")
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return 1
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(made, encoding="utf-8")
    beside.chmod(path.stat().st_mode & 0o777)
    beside.replace(path)
    sys.stdout.write(f"{path} is formatted\n")
    return 0
