"""docs/providers-toml.md is the head of providers.toml as a page, and names every field that the table reads.

`python -m tests.test_providers_docs` writes the page anew.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from routing.table.config import parse
from routing.table.field import TomlTable

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "providers-toml.md"
TABLE = (ROOT / "providers.toml").read_text()
SECTION = re.compile(r"# (\[[^\]]+(?:\"[^\]]*)?\])(?: {2,}(.*))?$")
FIELD = re.compile(r"#   (\S.*?)(?: {2,}| (?=[\[{\"0-9]))(\S.*)$")
MORE = """
[providers.acme]
base_url = "https://acme.example/v1"
api_key = "env:ACME"
endpoints.messages.path = "/messages"
rate_limits.requests_per_minute = 5
data.trains = false
[providers.acme.models.large]
input = "1"
output = "2"
[routes.house]
targets = [{ to = "acme/large" }]
policy = "patient"
[policies.patient]
attempts_max = 2
breaker.failures = 4
[cors]
origins = ["https://app.example"]
"""


def page() -> str:
    """The comments at the top of the file as tables, a section each."""
    lines = TABLE.splitlines()
    head = lines[: next(number for number, line in enumerate(lines) if line.startswith("# Prices below"))]
    out = [
        "# providers.toml",
        "",
        "Every field of the routing table: its default, its unit, when not to change it. This page is made of the comments in",
        "[providers.toml](../providers.toml) (`python -m tests.test_providers_docs`), and a test holds it to what is read.",
        "`tollway check` names every problem of a file with its line.",
        "",
    ]
    name = ""
    text: list[str] = []

    def close() -> None:
        if name:
            out.append(f"- **`{name}`** {' '.join(text)}")

    for line in head:
        if section := SECTION.match(line):
            close()
            name, text = "", []
            out += ["", f"## `{section[1]}`", *([section[2], ""] if section[2] else [""])]
        elif not out[-1].startswith(("##", "-")) and line.startswith("# ") and not line.startswith("#  ") and not name:
            out.append(line[2:])
        elif field := FIELD.match(line):
            close()
            name, text = field[1], [field[2]]
        elif line.startswith("#      ") and name:
            text.append(line[1:].strip())
        elif not line.strip("# "):
            close()
            name, text = "", []
    close()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)) + "\n"


def read_fields(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names that the table asks for, in every section."""
    seen: set[str] = set()

    def noting(method: str) -> None:
        plain = getattr(TomlTable, method)

        def note(self: TomlTable, name: str, *rest: Any) -> Any:
            if self.path[:1] != ("aliases",):
                seen.add(name)
            return plain(self, name, *rest)

        monkeypatch.setattr(TomlTable, method, note)

    for method in ("take", "table"):
        noting(method)
    parse(TABLE + MORE)
    return seen


def test_page_is_that_of_the_file() -> None:
    """Run `python -m tests.test_providers_docs` after the comments were changed."""
    assert PAGE.read_text() == page()


def test_page_names_every_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read and not said cannot be found by an operator."""
    told = PAGE.read_text()
    names = {name for name in read_fields(monkeypatch) if re.fullmatch(r"(?!above_)[a-z][a-z_0-9]*", name)}
    assert len(names) > 80
    assert {name for name in names if not re.search(rf"(?<![a-z_0-9]){name}(?![a-z_0-9])", told)} - SPELLED_TOGETHER == set()


SPELLED_TOGETHER = {"cache_write_12h", "chat", "messages", "acme", "large", "house", "patient", "echo", "openai"}
"""`cache_write_1h, _12h` is one line; the rest are names that tables are given."""

if __name__ == "__main__":
    PAGE.write_text(page())
