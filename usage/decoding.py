"""What can go wrong when JSON that somebody else wrote is decoded: the whole family of the library's errors, in one place.

Rule: whoever decodes foreign bytes catches UNREADABLE, not the one error that was seen. msgspec says that text is no JSON or has
another shape (MsgspecError), that it is no UTF-8 (UnicodeDecodeError), and that it is nested too deeply (RecursionError).
"""

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


def reason_of(error: BaseException) -> str:
    """What is wrong, in words that quote nothing of what was decoded but its shape."""
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
