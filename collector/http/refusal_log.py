"""Refused credentials in the log, with where they came from, whichever of the collector's paths they were sent to.

Rule: no line has anything of a key or a token.
"""

import logging
import time

from starlette.requests import Request

from usage.throttle import Throttle

log = logging.getLogger("tollway.auth")


def log_refusal(refusals: Throttle, request: Request, reason: str, path: str = "") -> None:
    """A request was answered 401. `path` is told instead of its own, where that holds a secret."""
    more = refusals.note(time.monotonic())
    if more is not None:
        client = request.client.host if request.client else "an unknown address"
        log.warning("credentials from %s were refused at %s: %s%s", client, (path or request.url.path)[:80], reason, more)
