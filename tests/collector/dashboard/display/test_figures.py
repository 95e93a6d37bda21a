"""Figures as people read them: rounded once, half up, never by a float."""

import re

import pytest
from markupsafe import Markup

from collector.dashboard.display.chart import Bar, stacked_bars
from collector.dashboard.display.figures import ago, breakable, duration, exact, money, short, visible


@pytest.mark.parametrize(
    ("nano", "said"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (4_200, "$0.0000042"),
        (1_234_567, "$0.0012"),
        (99_999_999, "$0.100"),
        (12_345_678, "$0.012"),
        (100_000_000, "$0.10"),
        (1_004_999_999, "$1.00"),
        (1_005_000_000, "$1.01"),
        (1_234_567_890_000_000, "$1,234,567.89"),
        (-2_500_000_000, "−$2.50"),
        (9_007_199_254_740_993_000_000_000, "$9,007,199,254,740,993.00"),
    ],
)
def test_money_is_rounded_half_up_with_two_figures_at_least(nano: int, said: str) -> None:
    assert money(nano) == said


def test_exact_money_has_every_digit() -> None:
    assert [exact(each) for each in (5_000_000_000, 123, -123)] == ["$5.00", "$0.000000123", "−$0.000000123"]
    assert exact(9_007_199_254_740_993_000_000_001) == "$9,007,199,254,740,993.000000001"


def test_text_that_shows_as_another_is_shown_as_what_it_is() -> None:
    """No name turns its neighbours round or looks like another one; what scripts and emoji need stays, and so does markup."""
    assert visible("\u202egnp.exe\u202c") == "[U+202E]gnp.exe[U+202C]"
    assert visible("a\u200bb\ufeff\x1b[1m") == "a[U+200B]b[U+FEFF][U+001B][1m"
    for kept in ("مفتاح العميل", "日本語", "नमस्ते", "👩\u200d💻", "می\u200cخواهم", "two\nlines\tand more", ""):
        assert visible(kept) == kept
    assert visible(7) == 7
    assert isinstance(visible(Markup("<b>\u2066</b>")), Markup)


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0"), (999, "999"), (1_000, "1k"), (12_345, "12.3k"), (4_560_000, "4.56M"), (999_999, "1M"), (2 * 10**12, "2000B")],
)
def test_counts_are_short(number: int, said: str) -> None:
    assert short(number) == said


def test_name_breaks_behind_its_underscores() -> None:
    """And is text all the same."""
    assert breakable("upstream_error") == Markup("upstream_<wbr>error")
    assert breakable("<b>_</b>") == Markup("&lt;b&gt;_<wbr>&lt;/b&gt;")


def test_times_are_told_in_one_unit() -> None:
    assert [ago(0, ms) for ms in (0, 59_999, 60_000, 7_200_000, 200_000_000)] == [
        "0 s ago",
        "59 s ago",
        "1 min ago",
        "2 h ago",
        "2 d ago",
    ]
    assert [duration(ms) for ms in (0, 999, 1_000, 61_234)] == ["0 ms", "999 ms", "1.00 s", "61.23 s"]


def test_chart_escapes_what_it_is_told_and_is_as_high_as_its_values() -> None:
    """A model's name is foreign text; a column's height is its value over the top of the axis."""
    drawn = stacked_bars("<Spend>", ["<b>"], [Bar("a", "day <1>", (4,)), Bar("b", "day 2", (0,))], str)
    assert "<b>" not in drawn
    assert "&lt;Spend&gt;" in drawn
    assert "day &lt;1&gt;\n&lt;b&gt;: 4" in drawn
    assert 'class="s0"' in drawn
    assert 'height="204.00"' in drawn
    assert "day 2\nnothing" in drawn


def test_chart_of_nothing_says_so_and_has_no_scale() -> None:
    drawn = stacked_bars("Spend", [], [Bar("a", "day 1", ()), Bar("b", "day 2", ())], money)
    assert "Nothing was used in this time" in drawn
    assert "$" not in drawn


@pytest.mark.parametrize("highest", [1, 88, 5_000_000, 10**18])
def test_chart_has_room_for_the_figures_of_its_axis(highest: int) -> None:
    """Billionths of a dollar and billions of them: the first letter begins inside of the drawing."""
    drawn = stacked_bars("Spend", ["a"], [Bar("a", "day 1", (highest,))], money)
    marks = re.findall(r'class="axis" x="([0-9.]+)" y="[0-9.]+" text-anchor="end">([^<]+)<', drawn)
    assert len(marks) == 5
    assert all(float(x) - 6.4 * len(text) >= 0 for x, text in marks)
