"""The session as a picture: one panel of bars per figure, on a logarithmic scale, since the peers lie three decades apart."""

import math
from collections.abc import Sequence
from html import escape

from bench.measure import EVEN_RATES
from bench.report import Summary

WIDTH, BAR, GAP, LEFT, RIGHT, HEAD = 760, 18, 6, 150, 90, 34
OURS, OTHERS, INK, PALE = "#c2410c", "#94a3b8", "#0f172a", "#e2e8f0"


def _panel(title: str, values: Sequence[tuple[str, float]], top: int) -> tuple[list[str], int]:
    """The panel's elements and the height it took."""
    low = 10 ** math.floor(math.log10(min(value for _, value in values)))
    high = 10 ** math.ceil(math.log10(max(value for _, value in values) * 1.001))
    span = max(1.0, math.log10(high / low))
    scale = (WIDTH - LEFT - RIGHT) / span
    height = HEAD + len(values) * (BAR + GAP) + 30
    parts = [f'<text x="12" y="{top + 20}" font-weight="600">{escape(title)}</text>']
    for decade in range(round(span) + 1):
        x, mark = LEFT + decade * scale, low * 10**decade
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + HEAD - 6}" y2="{top + height - 22}" stroke="{PALE}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{top + height - 10}" text-anchor="middle" font-size="10" fill="{OTHERS}">{mark:g}</text>'
        )
    for row, (name, value) in enumerate(values):
        y = top + HEAD + row * (BAR + GAP)
        length = max(2.0, math.log10(value / low) * scale)
        colour = OURS if name.startswith("Tollway") else OTHERS
        parts.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>')
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        parts.append(f'<text x="{LEFT + length + 6:.1f}" y="{y + 13}">{shown}</text>')
    return parts, height


def draw(found: Sequence[Summary]) -> str:
    """An SVG of the summaries; figures that nobody has are left out."""
    panels = [
        *(
            (
                f"CPU per JSON request at {rate:,} a second, µs (log scale)",
                [(each.name, each.cpu_us_even[rate]) for each in found],
            )
            for rate in EVEN_RATES
        ),
        ("CPU per JSON request flat out, µs (log scale)", [(each.name, each.cpu_us_request) for each in found]),
        ("CPU per paced streamed chunk, µs (log scale)", [(each.name, each.cpu_us_chunk) for each in found]),
        ("Memory after load, RSS, MB (log scale)", [(each.name, each.rss_mb) for each in found]),
        ("Cold start to first answer, s (log scale)", [(each.name, each.cold_start_s) for each in found]),
    ]
    parts: list[str] = []
    top = 8
    for title, values in panels:
        known = [(name, value) for name, value in values if value is not None and value > 0]
        if known:
            added, height = _panel(title, sorted(known, key=lambda pair: pair[1]), top)
            parts += added
            top += height
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"'
    style = f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}"'
    return f'{head} {style}>\n<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
