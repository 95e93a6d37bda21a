"""A problem of the routing table: where it is, what is wrong, what would be right.

Rule: whoever reads a problem can mend it without reading our source, and all problems of a table come at once.
Strategy, for a text that is no TOML: tomllib says where it stopped, and the line there says by its looks what was meant.
Nothing is passed on in Python's own words.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

import msgspec

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the table."""

_PLACE: Final = re.compile(r"\(at line (\d+), column (\d+)\)")
_YAML_LINE: Final = re.compile(r"\s*(- )?[\w./-]+:(\s|$)")
_TYPOGRAPHIC: Final = "“”„‟‘’‚«»"
_CONFLICT: Final = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")
_OTHER_WORDS: Final = re.compile(r"=\s*(True|False|TRUE|FALSE|yes|no|on|off|None|null|nil)\s*(#.*)?$")
_TWICE: Final = re.compile(r"Cannot declare (\(.*\)) twice")
_STRING: Final = re.compile(r"['\"]([^'\"]*)['\"]")
_KEY: Final = re.compile(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*+)\s*=")
_MANY_DIGITS: Final = re.compile(r"[0-9_]{1000,}")
_HINT: Final = "strings need quotes, and so do keys with a dot or a slash; a table or a key may be written only once"
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
DIGITS_MAX: Final = 1_000


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


def kind_of(value: object) -> str:
    """What TOML calls a value of this type."""
    if isinstance(value, bool):
        return "true or false"
    names = ((str, "a string"), (int, "a whole number"), (float, "a number"), (dict, "a table"), (list, "a list"))
    return next((name for kind, name in names if isinstance(value, kind)), "a date or a time")


def number_shown(value: int | float) -> str:
    """A number as a message says it. TOML has whole numbers of any length (in hexadecimal, even longer than Python writes in
    decimal): none of those becomes a float, or stands in a message."""
    if isinstance(value, float):
        return f"is {value:g}"
    if abs(value) <= 2**53:
        return f"is {value}"
    return f"has {len(str(abs(value))) if abs(value) < 10**DIGITS_MAX else f'more than {DIGITS_MAX}'} digits"


def odd_character(text: str) -> str:
    """The first character that is none of ASCII's, by its name: what looks like another letter, or like nothing. Or ""."""
    odd = next((char for char in text if not char.isascii()), "")
    if not odd:
        return ""
    shown = f"'{odd}', " if odd.isprintable() and not unicodedata.combining(odd) else ""
    return f"{shown}{unicodedata.name(odd, 'without a name')} (U+{ord(odd):04X})"


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
    place = _PLACE.search(message)
    if place is None:
        return Problem("", text.count("\n") + 1, f"the text ends too early: {message}", "look for a bracket or a quote left open")
    number, column = int(place[1]), int(place[2])
    before = text.split("\n")[:number]
    line = before.pop()
    what = message[: place.start()].rstrip()
    if twice := _TWICE.match(what):
        what = f"[{dotted(tuple(_STRING.findall(twice[1])))}] is written twice"
    elif what == "Cannot overwrite a value" and (key := _KEY.match(line)):
        is_within = "." in key[1] and not _first(line, before)
        what = f"{key[1]} lies within what is a value already" if is_within else f"{key[1]} is written twice"
    hint = _hint(line, column, before, text)
    return Problem("", number, f"column {column} is not valid TOML: {what[:1].lower()}{what[1:]}", hint)


def reading_problem(error: ValueError | RecursionError, text: str) -> Problem:
    """Of what is TOML, and more of it than can be read: a number of thousands of digits, brackets nested too deeply."""
    rows = text.split("\n")
    if isinstance(error, RecursionError):
        deepest = max(range(len(rows)), key=lambda row: rows[row].count("[") + rows[row].count("{"))
        return Problem(
            "",
            deepest + 1,
            "the text cannot be read as TOML: it is nested too deeply",
            "no field is nested more than four levels deep",
        )
    row = next((row for row, line in enumerate(rows) if _MANY_DIGITS.search(line)), 0)
    return Problem(
        "",
        row + 1,
        "the text cannot be read as TOML: it has a number of thousands of digits",
        "write a number that can be meant, such as 128_000",
    )


def _hint(line: str, column: int, before: list[str], text: str) -> str:
    """What would be right, by what the line looks like."""
    if text.lstrip()[:1] == "{":
        return "this looks like JSON; TOML has [providers.openai] on a line, and name = value on those below"
    if line.startswith(_CONFLICT):
        return "this is a conflict of a merge that nobody resolved: keep one of the two sides, and take its marks away"
    if _YAML_LINE.match(line):
        return 'this looks like YAML; TOML has [providers.openai] on a line, and base_url = "https://…" on those below'
    if any(quote in line for quote in _TYPOGRAPHIC):
        return 'these are typographic quotes, as word processors make them; write straight ones: "…"'
    if "\r" in line.removesuffix("\r"):
        return "the lines end in a carriage return alone, as old editors write them; save the file with Unix' line ends"
    if any(ord(char) < 32 and char not in "\t\r" for char in line):
        return "there is a character in this line that cannot be seen; write the line anew"
    if odd := odd_character(line[column - 1 : column]):
        return f"the character there is {odd}; write it anew on a plain keyboard"
    if found := _OTHER_WORDS.search(line):
        return f"TOML has true and false, in small letters, and no word for nothing: leave the field out instead of {found[1]}"
    return _by_shape(line, before)


def _by_shape(line: str, before: list[str]) -> str:
    bare = line.partition("#")[0].rstrip()
    if bare.count("{") > bare.count("}"):
        return "an inline table { … } stands on one line, with no comma before its end"
    if bare.endswith((",", ";")):
        return f'no "{bare[-1]}" stands at the end of a line'
    first = _first(line, before)
    return f"it stands in line {first} already: keep one of the two" if first else _HINT


def _first(line: str, before: list[str]) -> int:
    """The line that says the same table, or the same key of the same table; 0 when there is none."""
    if line.lstrip().startswith("["):
        header = line.partition("#")[0].strip()
        return next((row for row, text in enumerate(before, 1) if text.partition("#")[0].strip() == header), 0)
    key = _KEY.match(line)
    for row in range(len(before), 0, -1):
        text = before[row - 1]
        if text.lstrip().startswith("["):
            return 0
        if key and (other := _KEY.match(text)) and other[1] == key[1]:
            return row
    return 0
