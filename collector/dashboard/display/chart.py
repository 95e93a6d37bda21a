"""A stacked bar chart as SVG text, drawn at the server.

Rule: no script, no inline style: colours are classes of the style sheet, so one drawing serves light and dark, screen and print.
Rule: the chart is a picture of a table that stands behind it; each bar says its figures in a `<title>`.
Limits: values are non-negative integers; `SERIES_MAX` series have a colour of their own, the caller sums up the rest.
"""

from collections.abc import Callable, Sequence
from html import escape

import msgspec

SERIES_MAX = 8
WIDTH, HEIGHT = 760, 240
LEFT_MIN, RIGHT, TOP, BOTTOM = 58, 6, 10, 26
CHARACTER = 6.4
"""How wide one is on the axis, at most, in the drawing's units."""
PLOT_HEIGHT = HEIGHT - TOP - BOTTOM
LABELS_MAX = 9
LINES = 4


class Bar(msgspec.Struct, frozen=True):
    """One column: its short label on the axis, its long one in the title, and a value per series."""

    label: str
    title: str
    values: tuple[int, ...]


def stacked_bars(caption: str, series: Sequence[str], bars: Sequence[Bar], write: Callable[[int], str]) -> str:
    """The `<svg>`; `write` puts a value into words. Where nothing was used it says so, on an axis without a scale."""
    highest = max((sum(bar.values) for bar in bars), default=0)
    top = _nice(highest)
    marks = [write(top * line // LINES) if highest else "" for line in range(LINES + 1)]
    left = max(LEFT_MIN, 12 + CHARACTER * max(map(len, marks)))
    pieces = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(caption)}">']
    for line, mark in enumerate(marks):
        y = TOP + PLOT_HEIGHT - PLOT_HEIGHT * line / LINES
        pieces.append(f'<line class="grid" x1="{left:.1f}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        pieces.append(_text(left - 8, y + 3.5, "end", mark))
    step = (WIDTH - left - RIGHT) / max(len(bars), 1)
    every = -(-len(bars) // LABELS_MAX) or 1
    for at, bar in enumerate(bars):
        x = left + step * at
        pieces.append(_column(bar, series, x, step, top, write))
        if at % every == 0:
            kind = "axis under between" if at // every % 2 else "axis under"  # the sheet leaves these out on a phone
            pieces.append(_text(x + step / 2, HEIGHT - 8, "middle", bar.label, kind))
    if not highest:
        pieces.append(_text((left + WIDTH) / 2, TOP + PLOT_HEIGHT / 2, "middle", "Nothing was used in this time"))
    pieces.append("</svg>")
    return "".join(pieces)


def _text(x: float, y: float, anchor: str, text: str, kind: str = "axis") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _column(bar: Bar, series: Sequence[str], x: float, step: float, top: int, write: Callable[[int], str]) -> str:
    gap = min(step * 0.22, 8.0)
    left, width = x + gap / 2, max(step - gap, 0.6)
    told = [f"{name}: {write(value)}" for name, value in zip(series, bar.values, strict=True) if value]
    pieces = [f"<g><title>{escape(bar.title)}\n{escape(chr(10).join(told) or 'nothing')}</title>"]
    # The whole column can be pointed at, also where it is empty.
    pieces.append(f'<rect class="hit" x="{x:.2f}" y="{TOP}" width="{step:.2f}" height="{PLOT_HEIGHT}"/>')
    base = float(TOP + PLOT_HEIGHT)
    for number, value in enumerate(bar.values):
        if value:
            height = max(PLOT_HEIGHT * value / top, 0.75)
            base -= height
            box = f'x="{left:.2f}" y="{base:.2f}" width="{width:.2f}" height="{height:.2f}"'
            pieces.append(f'<rect class="s{number}" {box}/>')
    pieces.append("</g>")
    return "".join(pieces)


def _nice(value: int) -> int:
    """The next round number that four lines divide well; at least 4."""
    scale = 1
    while True:
        for factor in (4, 6, 8, 12, 16, 20, 24, 32):
            if factor * scale >= value:
                return factor * scale
        scale *= 10
