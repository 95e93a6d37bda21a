"""`tollway serve` with a disk on which each write of the journal takes a while; and, where one is named, with one mistake in the
order of money. What goes out before its line was written is then on the wire long enough to be seen.

    python -m tests.e2e.slow_disk MISTAKE serve
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

WRITE_S = 0.15


def slow_down() -> None:
    from edge.journal.files.disk import Disk

    plain = Disk.write

    def write(fd: int, data: bytes) -> int:
        time.sleep(WRITE_S)
        return plain(fd, data)

    Disk.write = staticmethod(write)


def _writes_past(takes: Callable[[Any], bool]) -> None:
    from edge.write_batch import WriteBatch

    plain = WriteBatch.write

    def write(self: WriteBatch, transport: asyncio.Transport, data: bytes, request: Any = None) -> None:
        if takes(request):
            transport.write(data)
        else:
            plain(self, transport, data, request)

    WriteBatch.write = write  # type: ignore[method-assign]


def answer_past_the_commit() -> None:
    """An answer does not wait for the settlement of its turn."""
    _writes_past(lambda request: request is None)


def request_past_the_commit() -> None:
    """A request does not wait for its intent."""
    _writes_past(lambda request: request is not None)


def commit_with_nobody_behind_it() -> None:
    """The journal waits for the end of a turn though the server does not write through it."""
    from edge.write_batch import WriteBatch

    plain = WriteBatch.__init__

    def init(self: WriteBatch) -> None:
        plain(self)
        self.takes_answers = True

    WriteBatch.__init__ = init  # type: ignore[method-assign]


def commit_that_does_nothing_before_a_request() -> None:
    """A turn that sends requests does not ask the journal."""
    from edge.write_batch import WriteBatch

    plain = WriteBatch.end

    def end(self: WriteBatch) -> None:
        commit = self.commit
        if any(request is not None for _, _, request in self._held):
            self.commit = None
        plain(self)
        self.commit = commit

    WriteBatch.end = end  # type: ignore[method-assign]


MISTAKES: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    **{
        mistake.__name__: mistake
        for mistake in (
            answer_past_the_commit,
            request_past_the_commit,
            commit_with_nobody_behind_it,
            commit_that_does_nothing_before_a_request,
        )
    },
}

if __name__ == "__main__":
    slow_down()
    MISTAKES[sys.argv.pop(1)]()
    import proxy

    sys.exit(proxy.main())
