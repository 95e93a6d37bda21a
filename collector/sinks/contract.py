"""What a sink is: somewhere that takes usage facts as events, and says no in one of two ways.

Rule: an event has the generation's id, which every sink hands on for deduplication: what is published twice counts once.
Strategy: `publish` blocks, in a thread of its own (`collector.sinks.runner`). For Kafka it would be one more class beside these.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class SinkEvent(msgspec.Struct, frozen=True):
    """One usage fact. `body` is a CloudEvent 1.0 in JSON, structured mode."""

    event_id: str
    body: bytes


class Unavailable(Exception):
    """Nothing of the batch is known to be taken, and trying it again later may help. `wait_s`: how much later, if it said."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class SinkRejected(Exception):
    """One or more of these events will never be taken, however often they are sent."""


class Sink(Protocol):
    """Somewhere that takes events."""

    name: str

    def publish(self, events: Sequence[SinkEvent]) -> None:
        """Return when all of them are taken for good. Unavailable, Rejected."""

    def close(self) -> None: ...
