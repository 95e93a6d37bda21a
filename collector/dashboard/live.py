"""Says to an open page that something has happened in its account, so that it asks for itself again.

Strategy: every page looks once a second, and what one of them saw within that time serves all pages of its account: however many
look, the store is asked once. A page names the version that it shows (`version_of`), so nothing is missed between its drawing
and its connection, nor while a tab was in the background. A stream ends after a quarter of a minute, and the page asks again,
with a session that may have ended. It ends at once when the server wants to stop.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from time import monotonic

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from collector.dashboard.access import Forbidden
from collector.dashboard.page_version import version_of
from collector.dashboard.visit import Handler, Visit
from collector.service import Collector
from usage.protocol import Unreachable

POLL_S = 1.0
STREAM_S_MAX = 15.0
ACCOUNTS_MAX = 10_000
STREAMS_MAX = 64
"""Of one account. Each page that is open looks once a second; ten thousand would be a core."""
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}


class Feed:
    """What every account's pages were told last."""

    def __init__(self, collector: Collector, is_leaving: Callable[[], bool]) -> None:
        self._collector = collector
        self._is_leaving = is_leaving
        self.leaving = asyncio.Event()
        """Set by a server that stops, and knows it before it is asked."""
        self._known: dict[str, _Known] = {}

    async def events(self, account: str, seen: str) -> AsyncIterator[bytes]:
        """The events of one page that shows the state `seen`; empty when it does not say."""
        known = self._known_of(account)
        known.streams += 1
        try:
            async for event in self._changes(account, seen):
                yield event
        finally:
            known.streams -= 1

    def has_room(self, account: str) -> bool:
        """Whether one more page of this account may be told."""
        return self._known_of(account).streams < STREAMS_MAX

    async def _changes(self, account: str, seen: str) -> AsyncIterator[bytes]:
        began_s = monotonic()
        yield b": connected\n\n"
        while not (self.leaving.is_set() or self._is_leaving()) and monotonic() - began_s < STREAM_S_MAX:
            version = await self._version(account)
            if version != seen:
                if seen:
                    yield b"event: usage\ndata: \nid: %b\n\n" % version.encode()
                seen = version
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.leaving.wait(), POLL_S)

    def _known_of(self, account: str) -> "_Known":
        known = self._known.get(account)
        if known is None:
            if len(self._known) >= ACCOUNTS_MAX:
                self._known = {name: one for name, one in self._known.items() if one.streams}
            known = self._known[account] = _Known()
        return known

    async def _version(self, account: str) -> str:
        known = self._known_of(account)
        async with known.lock:
            if monotonic() - known.read_s >= POLL_S / 2:
                try:
                    known.version = await self._collector.read(lambda tx, now: version_of(tx, account, now))
                except Unreachable:
                    pass  # the old one stands; it is asked again
                known.read_s = monotonic()
        return known.version


class _Known:
    def __init__(self) -> None:
        self.version = ""
        self.read_s = 0.0
        self.streams = 0
        self.lock = asyncio.Lock()


def serve(feed: Feed) -> Handler:
    """The handler of `/dashboard/live`."""

    async def handler(visit: Visit) -> Response:
        if not feed.has_room(visit.account):
            raise Forbidden("this account has as many pages open as are told of its usage; close some", 429)
        events = feed.events(visit.account, seen_by(visit.request))
        return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)

    return handler


def seen_by(request: Request) -> str:
    """The state that the page shows: of the last event it had, else the one it was drawn with."""
    return request.headers.get("last-event-id") or request.query_params.get("seen", "")
