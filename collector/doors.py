"""Refused credentials at the collector's doors, logged with where they came from; no line has anything of a key or a token."""

import logging
import time

from starlette.requests import Request

from usage.throttle import Throttle

log = logging.getLogger("tollway.auth")


def note_refusal(refusals: Throttle, request: Request, reason: str) -> None:
    """A request was answered 401."""
    more = refusals.note(time.monotonic())
    if more is not None:
        client = request.client.host if request.client else "an unknown address"
        log.warning("credentials from %s were refused at %s: %s%s", client, request.url.path[:80], reason, more)
