"""Pages of a table: opaque cursors that name the last line seen, so that a page neither repeats nor skips one.

Rule: a cursor is made by us and carries no secret; one that is not of our making is an error, not an empty page.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from collector.analytics.query import QueryProblem, QueryRow

T = TypeVar("T")


class PageCursor(msgspec.Struct, frozen=True, array_like=True):
    """The start of the last line's period, and its group."""

    start_ms: int
    group: tuple[str, ...] | None


def page(lines: Sequence[QueryRow], cursor: str, size: int) -> tuple[Sequence[QueryRow], str]:
    """(at most `size` lines after the cursor, the cursor of the next page or "")."""
    first = 0
    if cursor:
        seen = read(cursor, PageCursor)
        at = [at for at, line in enumerate(lines) if (line.start_ms, line.group) == (seen.start_ms, seen.group)]
        # A line that is gone cannot be (sums only grow); its period may have ended up behind another range.
        first = at[0] + 1 if at else next((n for n, line in enumerate(lines) if line.start_ms > seen.start_ms), len(lines))
    part = lines[first : first + size]
    has_more = first + size < len(lines) and bool(part)
    return part, write(PageCursor(part[-1].start_ms, part[-1].group)) if has_more else ""


def write(value: object) -> str:
    """A value as URL-safe text."""
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


def read(cursor: str, kind: type[T]) -> T:
    """The value of a cursor; Wrong when it is none."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
    except (msgspec.MsgspecError, UnicodeError, binascii.Error, ValueError) as error:
        raise QueryProblem("cursor", "that cursor was not made here; begin without one") from error
