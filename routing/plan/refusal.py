"""A refusal: why a request gets no answer, in the words and the status that the caller reads.

Rule: a refusal says what would be right. It is a value, so whoever decides does not need to know how it is sent, and whoever
sends it (`usage.flavor` knows the words of each API) does not need to know why.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from routing.failures.failure import Failure, Source, describe, is_hopeless, param_of, status_of, wait_of
from usage.flavor import Flavor, error_body


class Refusal(msgspec.Struct, frozen=True):
    """Status, code and message for the caller. An empty `type` is the one that goes with the status.

    `param` names the member to mend. `metadata` is told where the API has a place for it (OpenRouter's). `retry_after_s` becomes
    the `retry-after` header; None when waiting would not help. `is_hopeless` becomes `x-should-retry: false`, which OpenAI's
    libraries obey: trying again cannot help.
    """

    status: int
    code: str
    message: str
    type: str = ""
    param: str | None = None
    metadata: dict[str, Any] | None = None
    retry_after_s: float | None = None
    is_hopeless: bool = False

    def body(self, flavor: Flavor) -> bytes:
        """The error object as JSON."""
        return error_body(flavor, self.status, self.message, self.code, type=self.type, param=self.param, metadata=self.metadata)


class Denied(Exception):
    """The request is answered with `refusal` and goes no further. `gen_id`: of the generation it is about, if it is another
    one's."""

    def __init__(self, refusal: Refusal, headers: Sequence[tuple[bytes, bytes]] = (), gen_id: str = "") -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.headers = tuple(headers)
        self.gen_id = gen_id


def refusal_of(failure: Failure, provider_name: str) -> Refusal:
    """What the caller is told of a failure: as a status while nothing has gone out, else in the stream's error event."""
    message, kind, code = describe(failure, provider_name)
    metadata = {"provider_name": provider_name} if failure.source is Source.UPSTREAM else None
    if metadata is not None and code == failure.code:
        metadata["provider_code"] = code
    param = param_of(failure)
    return Refusal(status_of(failure), code, message, kind, param, metadata, wait_of(failure), is_hopeless(failure))
