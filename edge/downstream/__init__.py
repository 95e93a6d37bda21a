"""The callers' side of the wire: an ASGI server for HTTP/1.1 on the event loop's own thread.

Strategy: granian hands each request from its threads to ours and back, with a fight for the interpreter's lock each time. Here
callers and providers share one thread, and a chunk goes from one socket to the other within one callback: less CPU, and less than
half the memory per open stream (bench/RESULTS.md has both). Granian serves the same application where HTTP/2 or TLS is wanted,
and is the oracle: both pass one contract suite, as our client of providers and httpx do.
Limits: HTTP/1.1 and 1.0, no TLS, no upgrades: it stands behind a load balancer. Linux and macOS.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

CALLER = "tollway.caller"
"""The ASGI extension that says whose request it is: `scope["extensions"][CALLER]` is a Caller."""

READER_TIMEOUT = "tollway.reader_timeout_s"
"""In the state of an application's lifespan: asked for how many seconds a caller may take nothing of an answer that is written; a
function, because a reload may change it."""


class Caller(Protocol):
    """Who is being answered."""

    task: asyncio.Task[None] | None
    """That answers it."""
    is_gone: bool
    on_leave: Callable[[], None] | None
    """Called once when the caller leaves before its answer is whole; not if it `is_gone` already."""

    @property
    def says_no_more(self) -> bool:
        """The connection is half-closed: a whole answer may still be wanted, a stream is not."""
