"""`tollway serve` with a disk on which each write and each sync of the journal takes a while; and, where one is named, with one
mistake in the order of money. What goes out before its line was written, or is durable, is then on the wire long enough to be
seen.

How many seconds, says TOLLWAY_TEST_DISK_S. What of which file is on the medium stands in the file that TOLLWAY_TEST_DURABLE
names, a line `<bytes> <path>` after each sync.

    python -m tests.e2e.slow_disk MISTAKE serve
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from typing import Any

WAIT_S = float(os.environ["TOLLWAY_TEST_DISK_S"])


def slow_down() -> None:
    from edge.journal.files.disk import Disk

    plain_write, plain_sync = Disk.write, Disk.sync

    def write(fd: int, data: bytes) -> int:
        time.sleep(WAIT_S)
        return plain_write(fd, data)

    def sync(self: Disk, fd: int) -> None:
        size, path = os.fstat(fd).st_size, os.readlink(f"/proc/self/fd/{fd}")
        time.sleep(WAIT_S)
        plain_sync(self, fd)
        with open(os.environ["TOLLWAY_TEST_DURABLE"], "a", encoding="utf-8") as noted:
            noted.write(f"{size} {path}\n")

    Disk.write = staticmethod(write)
    Disk.sync = sync  # type: ignore[method-assign]


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
            self.commit = lambda: ""
        plain(self)
        self.commit = commit

    WriteBatch.end = end  # type: ignore[method-assign]


def stream_that_ends_before_its_settlement() -> None:
    """The last byte of a stream is handed on, and then it is settled."""
    from edge.relay.response.stream import StreamForwarder

    async def complete(self: StreamForwarder, sent: bytes) -> None:
        await self._finish(sent)
        self._settle("completed")

    StreamForwarder._complete = complete  # type: ignore[method-assign]


def end_that_does_not_wait_for_the_disk() -> None:
    """With durability "strict" the end of an answer goes out when its settlement is in the kernel."""
    from edge.journal import Journal

    async def durable(self: Journal) -> None:
        return

    Journal.durable = durable  # type: ignore[method-assign]


MISTAKES: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    **{
        mistake.__name__: mistake
        for mistake in (
            answer_past_the_commit,
            request_past_the_commit,
            commit_with_nobody_behind_it,
            commit_that_does_nothing_before_a_request,
            stream_that_ends_before_its_settlement,
            end_that_does_not_wait_for_the_disk,
        )
    },
}

if __name__ == "__main__":
    slow_down()
    MISTAKES[sys.argv.pop(1)]()
    import proxy

    sys.exit(proxy.main())
