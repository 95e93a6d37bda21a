"""The header `retry-after` as it is written and read everywhere here. Source: RFC 9110, 10.2.3.

Strategy: what it says beside that (milliseconds, durations in words, windows) are providers' ways, and read in
`routing.failures.retry_after`.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Final

_SECONDS: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,12})?\Z")


def retry_after_header(wait_s: float) -> str:
    """The value for a wait: whole seconds, never sooner than it is worth while, and at least one."""
    return str(max(ceil(wait_s), 1))


def wait_s_of(value: str, now_unix_s: float) -> float | None:
    """Seconds that a value asks for, 0 for a date that is past; None when it is neither seconds nor a date."""
    value = value.strip()
    if _SECONDS.match(value):
        return float(value)
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return max(moment.timestamp() - now_unix_s, 0.0)
        except (ValueError, OverflowError, TypeError):
            continue
    return None
