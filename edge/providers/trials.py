"""Trials of what was closed, made in the background and at no cost: `GET /models` with the key that was refused.

Rule: a caller's request is a trial only after one of these went well, or where nothing else is left (`routing.plan.plan`).
Strategy: one look a second at the healths, which are few or none; a task per trial, one at a time for each scope.
Limits: a list of models shows that a provider is there and takes the key, not that the balance is back or that one model serves:
that, one caller's request finds out, and moves on if not. A provider without such a list (404, 405, 501) counts as there.
"""

import asyncio
import logging
import time
from time import monotonic

from edge.providers.resolver import ResolvedEndpoint
from edge.providers.table import Table
from edge.tasks import Tasks
from routing.failures.failure import AttemptFailed, Failure, Kind, Sent, Source
from routing.failures.provider_error import failure_of_answer
from routing.plan.health import TRIAL_S

log = logging.getLogger("tollway.trials")
LOOK_S = 1.0
BODY_BYTES_MAX = 65_536
_NO_SUCH_LIST = frozenset({400, 404, 405, 410, 415, 422, 501})


class Trials:
    """The trials of one table."""

    def __init__(self, table: Table, tasks: Tasks) -> None:
        self._table = table
        self._tasks = tasks
        self._running: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.check()

    def check(self) -> None:
        """Start what is due."""
        for scope, resolved in self._table.due(monotonic()):
            if scope not in self._running:
                self._running.add(scope)
                self._tasks.spawn("trial", self._try(scope, resolved))

    async def _try(self, scope: str, resolved: ResolvedEndpoint) -> None:
        try:
            failure = await ask(resolved)
        finally:
            self._running.discard(scope)
        self._table.tried(scope, failure)
        if failure is None:
            log.info("%s answers again", scope.partition(" ")[0])
        else:
            log.info("%s is not well yet: %s", scope.partition(" ")[0], failure.reason)


async def ask(resolved: ResolvedEndpoint) -> Failure | None:
    """One `GET /models`: None when the provider is there and takes the key."""
    fields, path = resolved.head.partition(b"\r\n")[2], resolved.models_path
    try:
        async with asyncio.timeout(TRIAL_S):
            more = resolved.format_lines
            if resolved.auth is not None:
                more += await resolved.auth.lines(resolved.authority, path, (), "GET")
            head = b"GET %b HTTP/1.1\r\n%b0\r\n%b\r\n" % (path.encode("ascii"), fields, more)
            exchange = await resolved.upstream.open(resolved.target, head, ())
            try:
                while not await exchange.head():
                    pass
                if exchange.status < 400 or exchange.status in _NO_SUCH_LIST:
                    return None
                body = b""
                while len(body) < BODY_BYTES_MAX and (data := await exchange.read()):
                    body += data
                return failure_of_answer(exchange.status, exchange.headers, body, time.time())
            finally:
                exchange.abort()
    except AttemptFailed as error:
        return error.failure
    except TimeoutError:
        return Failure(Kind.TIMEOUT_FIRST_BYTE, Source.UPSTREAM, Sent.REQUEST)
