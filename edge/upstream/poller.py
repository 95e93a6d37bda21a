"""Asks the kernel for news of one socket, and keeps the interpreter's lock meanwhile.

Strategy: `select.poll` lets go of the lock for a call that never waits; a thread that waits for it is woken each time, mostly in
vain. With one question per request, that was a twentieth of a request's price, and more where the collector is embedded.
"""

import ctypes
import select

_poll = ctypes.PyDLL(None).poll


class _PollFd(ctypes.Structure):
    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


_poll.argtypes = (ctypes.POINTER(_PollFd), ctypes.c_ulong, ctypes.c_int)
_poll.restype = ctypes.c_int


class Poller:
    """For one file descriptor, which its owner keeps open."""

    __slots__ = ("_asked",)

    def __init__(self, fd: int, events: int = select.POLLIN) -> None:
        self._asked = (_PollFd * 1)(_PollFd(fd, events, 0))

    def has_news(self) -> bool:
        """Whether there is something to read (or what `events` says), an end, or an error."""
        return bool(_poll(self._asked, 1, 0))
