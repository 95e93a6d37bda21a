"""`tollway fmt`, `diff` and `prices update`: what a table means never changes unasked, and what changes is told first."""

import datetime
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.commands.format import format_file, formatted
from edge.commands.prices import changes_of, update, written
from edge.commands.table_file import compare
from edge.settings import SettingError
from routing.table.config import parse
from routing.views.difference import difference

NAMES = st.from_regex(r"[a-z]{1,5}", fullmatch=True)
SHIPPED = Path(__file__).parents[3] / "providers.toml"
UGLY = """[providers.p]
base_url="https://p.example"   # here
api_key   =   "none"



[providers.p.models]   # models
  a={input="1",output = "2" ,tiers={flex={input="1",output="1"}}}   # x
"b" = {  input = "1", output="2"}
# a comment of its own
[aliases]
fast   = [ "p/a",
   # why
   "p/b" ]
"""
PRETTY = """[providers.p]
base_url = "https://p.example"  # here
api_key = "none"

[providers.p.models]   # models
a = { input = "1", output = "2", tiers = { flex = { input = "1", output = "1" } } }  # x
"b" = { input = "1", output = "2" }
# a comment of its own
[aliases]
fast = [ "p/a",
   # why
   "p/b" ]
"""
OLD = """[providers.p]
base_url = "https://p.example"
api_key = "none"
idle_timeout_s = 60
[providers.p.models]
a = { input = "1", output = "2" }
b = { input = "1", output = "2", context_tokens = 1000 }
c = { input = "1", output = "2" }
[aliases]
fast = ["p/a", "p/b"]
slow = "p/c"
[routes.r]
targets = [{ to = "p/a" }, { to = "p/b" }]
[routes.s]
targets = [{ to = "p/a" }]
"""
NEW = """[providers.p]
base_url = "https://q.example"
api_key = "none"
idle_timeout_s = 90
[providers.p.models]
a = { input = "1", output = "3" }
b = { input = "1", output = "2", context_tokens = 2000 }
d = { input = "1", output = "2" }
[aliases]
fast = ["p/a", "p/d"]
new = "p/d"
[routes.r]
targets = [{ to = "p/a" }]
fallback = ["p/d"]
balance = "cheapest"
[routes.t]
targets = [{ to = "p/b" }]
[limits]
header_count_max = 80
"""


def test_format_keeps_comments_order_and_meaning() -> None:
    """One form; a second run changes nothing; the shipped table has it already."""
    assert formatted(UGLY) == PRETTY
    assert formatted(PRETTY) == PRETTY
    assert tomllib.loads(PRETTY) == tomllib.loads(UGLY)
    assert formatted(SHIPPED.read_text()) == SHIPPED.read_text()


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.integers() | st.booleans() | st.text('ab "\\#=', max_size=8))
)
def test_format_of_anything_means_the_same(values: dict[str, int | bool | str]) -> None:
    """Whatever the values are."""
    spelled = {name: str(value).lower() if not isinstance(value, str) else repr_of(value) for name, value in values.items()}
    text = "".join(f"{name}  ={value}   # {name}\n\n\n" for name, value in spelled.items())
    made = formatted(text)
    assert tomllib.loads(made) == tomllib.loads(text)
    assert formatted(made) == made


def repr_of(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def test_format_check_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "providers.toml"
    path.write_text(UGLY)
    assert format_file(path, is_check=True) == 1
    assert path.read_text() == UGLY
    assert '-api_key   =   "none"' in capsys.readouterr().out
    assert format_file(path, is_check=False) == 0
    assert path.read_text() == PRETTY
    assert format_file(path, is_check=True) == 0


def test_format_of_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    """As Windows' editors write it: it is formatted like any other, and the mark is gone where it is written anew."""
    path = tmp_path / "providers.toml"
    path.write_text("[limits]\nopen_requests_max=7\n", encoding="utf-8-sig")
    assert format_file(path, is_check=True) == 1
    assert format_file(path, is_check=False) == 0
    assert path.read_bytes() == b"[limits]\nopen_requests_max = 7\n"


def test_format_of_a_text_over_lines_is_refused() -> None:
    """What it would change, it says."""
    with pytest.raises(SettingError, match="over several lines"):
        formatted('a = """x  \n\n\n\ny"""\n')


def test_difference_is_told_in_terms_of_callers(capsys: pytest.CaptureFixture[str]) -> None:
    assert difference(parse(OLD), parse(NEW)) == [
        "~ p/a: $1 input, $2 output per million tokens -> $1 input, $3 output per million tokens",
        "~ p/b: context_tokens 1000 -> 2000",
        "- p/c: is gone",
        "+ p/d: $1 input, $2 output per million tokens",
        "~ fast: loses p/b; gains p/d",
        "+ new: an alias of p/d",
        "- slow: the alias is gone",
        "~ r: loses p/b; gains p/d",
        "~ r: balance in_order -> cheapest",
        "- s: the route is gone",
        "+ t: a route to p/b",
        "~ provider p: is asked at https://q.example instead of https://p.example",
        "~ provider p: idle_timeout_s 60 -> 90",
        "~ limits: header_count_max 64 -> 80",
    ]
    assert compare(OLD, OLD + "# only a comment\n", as_json=False) == 0
    assert compare(OLD, NEW, as_json=True) == 1
    assert '"kind": "removed"' in capsys.readouterr().out


def test_prices_are_shown_before_they_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table of last year: what differs is told, nothing is written unasked; then it is what the list says, comments kept."""
    path = tmp_path / "providers.toml"
    text = SHIPPED.read_text()
    day = datetime.date(2026, 12, 1)  # whose prices are shipped: on another one the list may say otherwise
    assert list(changes_of(text, day)) == []
    old = text.replace(
        '[providers.openai.models."gpt-4o-mini"]\ninput = "0.15"', '[providers.openai.models."gpt-4o-mini"]\ninput = "9"'
    )
    assert old != text
    path.write_text(old)
    assert update(path, old, writes=False, today=day) == 1
    assert "openai/gpt-4o-mini: input 9 -> 0.15\n1 prices differ" in capsys.readouterr().out
    assert path.read_text() == old
    assert update(path, old, writes=True, today=day) == 0
    assert path.read_text() == text
    assert update(path, text, writes=True, today=day) == 0
    assert written(text, []) == text
