"""A problem of the routing table: where it is, what is wrong, what would be right.

Rule: whoever reads a problem can mend it without reading our source, and all problems of a table come at once.
"""

import difflib
import re
from collections.abc import Iterable
from typing import Final

import msgspec

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the table."""

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
_TOML_PLACE: Final = re.compile(r"\(at line (\d+), column (\d+)\)")
_YAML_LINE: Final = re.compile(r"\s*(- )?[\w./-]+:(\s|$)")
_TYPOGRAPHIC: Final = "“”„‟‘’‚«»"
_SYNTAX_HINT: Final = "strings need quotes, and so do keys with a dot or a slash; a table or a key may be written only once"


def dotted(path: Path) -> str:
    """The path as one would write it in TOML: `providers.openai.models."gpt-4o-mini".input`, `api_keys[1]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _BARE.match(step) else '"' + step.replace('"', '\\"') + '"')
    return text


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name somebody who wrote `name` most likely meant."""
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower().replace("-", "_")[:100], lowered, 1, 0.6)
    return lowered[close[0]] if close else None


class Problem(msgspec.Struct, frozen=True):
    """One thing to mend. `path` is empty for the text as a whole; `line` counts from 1."""

    path: str
    line: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"line {self.line}, {self.path}" if self.path else f"line {self.line}"
        return f"{place}: {self.message}" + (f"\n    {self.hint}" if self.hint else "")


class ConfigError(Exception):
    """The table cannot be used. `problems` is never empty and in the order of the lines."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class Wrong(Exception):
    """A value is not what its field takes: what is wrong, and what would be right."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def syntax_problem(message: str, text: str) -> Problem:
    """Of a message of tomllib."""
    place = _TOML_PLACE.search(message)
    if place is None:
        return Problem("", text.count("\n") + 1, f"the text ends too early: {message}")
    what = message[: place.start()].rstrip()
    line = text.split("\n")[int(place[1]) - 1 : int(place[1])]
    hint = _syntax_hint(line[0] if line else "", text)
    return Problem("", int(place[1]), f"column {place[2]} is not valid TOML: {what[:1].lower()}{what[1:]}", hint)


def _syntax_hint(line: str, text: str) -> str:
    """What would be right, by what the line looks like."""
    if text.lstrip()[:1] == "{":
        return "this looks like JSON; TOML has [providers.openai] on a line, and name = value on those below"
    if _YAML_LINE.match(line):
        return 'this looks like YAML; TOML has [providers.openai] on a line, and base_url = "https://…" on those below'
    if any(quote in line for quote in _TYPOGRAPHIC):
        return 'these are typographic quotes, as word processors make them; write straight ones: "…"'
    if any(ord(char) < 32 and char not in "\t\r" for char in line):
        return "there is a character in this line that cannot be seen; write the line anew"
    return _SYNTAX_HINT
