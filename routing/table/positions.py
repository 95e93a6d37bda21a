"""Where things stand in a TOML text: path → line. `tomllib` does not say, and a problem without its line is half a problem.

Strategy: one walk over a text that `tomllib` has already accepted, so it only needs to tell keys, values and comments apart.
Limits: runs only when there is a problem to report. A path that was not written (a missing field) stands where its table does.
"""

import re
import tomllib
from typing import Final

from routing.table.problem import Path

_SPACE: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*+")
_KEY: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*+"|'[^']*'""")
_DOT: Final = re.compile(r"[ \t]*\.[ \t]*")
_SCALAR: Final = re.compile(
    r'"""[^\\"]*+(?:(?:\\.|"{1,2}(?!"))[^\\"]*+)*+"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\]|\\.)*+"|\'[^\']*\'|[^,\]}#\n]+',
    re.DOTALL,
)


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.lines: dict[Path, int] = {(): 1}

    def document(self) -> None:
        table: Path = ()
        while self.skip():
            if self.text[self.position] == "[":
                self.position += 2 if self.text.startswith("[[", self.position) else 1
                self.skip()
                table = self.key(())
                self.position = self.text.index("]", self.position) + 1
                if self.text.startswith("]", self.position):
                    self.position += 1
            else:
                self.member(table)

    def skip(self) -> bool:
        """Past space and comments; whether anything is left."""
        match = _SPACE.match(self.text, self.position)
        assert match is not None
        self.position = match.end()
        return self.position < len(self.text)

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, self.text.count("\n", 0, self.position) + 1)

    def key(self, path: Path) -> Path:
        """A dotted key; every step of it has a place."""
        while True:
            match = _KEY.match(self.text, self.position)
            assert match is not None
            path = (*path, _plain(match[0]))
            self.note(path)
            self.position = match.end()
            dot = _DOT.match(self.text, self.position)
            if dot is None:
                return path
            self.position = dot.end()

    def member(self, table: Path) -> None:
        path = self.key(table)
        self.position = self.text.index("=", self.position) + 1
        self.value(path)

    def value(self, path: Path) -> None:
        self.skip()
        if self.text[self.position] == "[":
            self.members_until("]", path)
        elif self.text[self.position] == "{":
            self.members_until("}", path)
        else:
            match = _SCALAR.match(self.text, self.position)
            assert match is not None
            self.position = match.end()

    def members_until(self, end: str, path: Path) -> None:
        """The inside of a list or of an inline table."""
        self.position += 1
        count = 0
        while self.skip() and self.text[self.position] != end:
            if end == "}":
                self.member(path)
            else:
                self.note((*path, count))
                self.value((*path, count))
            count += 1
            self.skip()
            if self.text[self.position] == ",":
                self.position += 1
        self.position += 1


def _plain(token: str) -> str:
    if token[0] == '"':
        value: str = tomllib.loads(f"k = {token}")["k"]
        return value
    return token.strip("'")


def lines(text: str) -> dict[Path, int]:
    """Every key of a valid TOML text with the line it is first named on."""
    walk = _Walk(text)
    walk.document()
    return walk.lines


def line_of(path: Path, known: dict[Path, int]) -> int:
    """The line of a path, or of the closest thing around it that was written."""
    while path not in known:
        path = path[:-1]
    return known[path]
