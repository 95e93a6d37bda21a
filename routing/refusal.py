"""A refusal: why a request is not even tried, in the words and the status that the caller reads.

Rule: a refusal says what would be right. It is a value, so whoever decides does not need to know how it is sent.
"""

from typing import Any

import msgspec

from routing.failure import error_body, type_of


class Refusal(msgspec.Struct, frozen=True):
    """Status, code and message for the caller. An empty `type` is the one that goes with the status.

    `param` names the member to mend. `retry_after_s` becomes the `retry-after` header; None when waiting would not help.
    """

    status: int
    code: str
    message: str
    type: str = ""
    param: str | None = None
    metadata: dict[str, Any] | None = None
    retry_after_s: float | None = None

    def body(self) -> bytes:
        """The OpenAI error object as JSON."""
        return error_body(self.status, self.message, self.type or type_of(self.status), self.code, self.param, self.metadata)
