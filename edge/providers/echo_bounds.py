"""How much `echo` makes for one request.

Rule: it works on the event loop that everybody shares. What it would say to 32 MiB would be everybody's time.
"""

from typing import Final

SAID_CHARS_MAX: Final = 262_144
"""In all choices together; the rest is not said."""
NUMBERS_MAX: Final = 131_072
"""Of all vectors together: a microsecond each."""
IMAGES_MAX: Final = 10
RESULTS_MAX: Final = 2_048


class EchoBoundExceeded(ValueError):
    """More is asked for than it makes: its text says how much may be."""


def check_at_most(most: int, count: int, what: str) -> None:
    if count > most:
        raise EchoBoundExceeded(f"echo makes at most {most:,} {what} for one request")


def words_in(text: str) -> int:
    """Of what is long as many as it has spaces: split, 32 MiB would be as many small strings."""
    return len(text.split()) if len(text) < SAID_CHARS_MAX else text.count(" ") + 1
