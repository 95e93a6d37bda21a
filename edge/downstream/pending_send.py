"""A coroutine that is run up to where it waits, without a task: most sends never do."""

from collections.abc import Awaitable, Generator, Iterator
from typing import Any


class PendingSend:
    """A send that was started without a task and waits for something; awaiting this ends it."""

    __slots__ = ("_first", "_steps")

    def __init__(self, first: Any, steps: Iterator[Any]) -> None:
        self._first = first
        self._steps = steps

    def __await__(self) -> Generator[Any, None, None]:
        yield self._first
        yield from self._steps


def start(sending: Awaitable[None]) -> PendingSend | None:
    """Go on with `sending` until it waits; None when it is done, as granian's is while its buffer has room."""
    steps = iter(sending.__await__())
    for first in steps:
        return PendingSend(first, steps)
    return None
