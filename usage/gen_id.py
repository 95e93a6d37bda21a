"""The id of a generation: `gen-` and 26 characters of Crockford's base 32, as in ULID: 48 bits of Unix milliseconds, 80 of
chance.

Rule: ids sort by time as bytes do, so a span of time is a range of ids; the store's partitions and its paging stand on that.
Limits: the edge draws ids in blocks with code of its own (`edge/relay/ids.py`); a test holds both to the same form.
"""

import re

PREFIX = "gen-"
TIME_CHARS = 10
TIME_MS_END = 1 << 48
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
is_shaped = re.compile(r"gen-[0-7][0-9a-hjkmnp-tv-z]{25}\Z").match
"""Whether a text is one of these ids; a match or None."""
_TO_BASE_32 = str.maketrans(_CROCKFORD, "0123456789abcdefghijklmnopqrstuv")


def time_ms_of(gen_id: str) -> int | None:
    """When the id was drawn, in Unix milliseconds; None for what is no id of a generation."""
    if is_shaped(gen_id) is None:
        return None
    return int(gen_id[4:14].translate(_TO_BASE_32), 32)


def first_of(time_ms: int) -> str:
    """The bound below every id drawn at `time_ms` or later, and above every earlier one."""
    time_ms = min(max(time_ms, 0), TIME_MS_END - 1)
    return PREFIX + "".join(_CROCKFORD[(time_ms >> shift) & 31] for shift in range(45, -1, -5))
