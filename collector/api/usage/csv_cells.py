"""Comma-separated values that a spreadsheet takes for what they are: RFC 4180, and no cell that is run as a formula.

Rule: a text that begins like a formula (= + - @, tab or return) gets an apostrophe in front, which spreadsheets show as text.
Source: OWASP, "CSV Injection".
"""

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def cell(value: object) -> object:
    """A value as it may stand in a cell; numbers and None stay."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str):
        text = value.replace("\0", "\ufffd")
        return f"'{text}" if text.startswith(_FORMULA) else text
    return value


def write_csv(header: Sequence[str], rows: Iterable[Sequence[object]], line_end: str = "\r\n") -> bytes:
    """UTF-8; what has a comma, a quote or a line break is quoted. A terminal's `line_end` is a line feed alone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_end)
    writer.writerow(header)
    writer.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8", "replace")
