"""A whole answer of any format, opened: its members, or that it is none.

Limits: an error in it is each format's own to find.
"""

from routing.failures.provider_error import no_answer
from routing.wire.members import REFUSED, Members
from routing.wire.repair import readable


def read_answer(body: bytes) -> Members:
    """The members of an answer, also of one that is JSON only for lenient readers. AttemptFailed: it is no object."""
    try:
        return readable(body)[1]
    except REFUSED:
        raise no_answer("no JSON object") from None
