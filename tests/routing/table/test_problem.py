"""A text that is no TOML, or more of it than can be read: the line, and what was most likely meant; nothing of Python's."""

import pytest

from routing.table.config import ConfigError, parse

HEAD = '[providers.p]\nbase_url = "https://p.example"\napi_key = "none"\n'


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        (HEAD.replace("\n", "\r"), 1, "the lines end in a carriage return alone"),
        (f"{HEAD}verify = TRUE # yes\n", 4, "TOML has true and false"),
        (f"{HEAD}||||||| base\n", 4, "a conflict of a merge"),
        (f"{HEAD}data = {{ trains = false,\n", 4, "an inline table { … } stands on one line"),
        (f"{HEAD}http2 = false;\n", 4, 'no ";" stands at the end of a line'),
        (f'{HEAD}"api_key" = "none"\napi_key = "none"\n', 4, "strings need quotes"),
        (f'{HEAD}\n# again\napi_key = "env:X"\n', 6, "it stands in line 3 already"),
        (f"{HEAD}[providers.q]\n[providers.p] # again\n", 5, "it stands in line 1 already"),
        (f"{HEAD}x = {'[' * 5000}{']' * 5000}\n", 4, "no field is nested more than four levels"),
        (f"{HEAD}attempts_max = {'9' * 9000}\n", 4, "write a number that can be meant"),
        (f"{HEAD}unlisted = {{ input = ", 4, "look for a bracket or a quote left open"),
    ],
)
def test_text_that_is_no_toml_is_told_by_its_looks(text: str, line: int, hint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text)
    (problem,) = raised.value.problems
    assert (problem.line, hint in problem.hint) == (line, True), problem
    assert not any(word in problem.message for word in ("recursion", "sys.", "('", "set_int_max"))
