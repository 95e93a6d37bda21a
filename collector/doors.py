"""What the collector's doors have in common: who sent a request, and refused credentials in the log, with where they came from.

Rule: no line has anything of a key or a token.
"""

import logging
import time

from starlette.requests import Request

from usage.throttle import Throttle

log = logging.getLogger("tollway.auth")


def is_same_origin(request: Request) -> bool:
    """Whether no page of another site sent this: a browser says where a request comes from, what is no browser says nothing.

    The rule of Go 1.25's CrossOriginProtection: `Sec-Fetch-Site`, else an Origin whose host is the one that was asked.
    """
    site = request.headers.get("sec-fetch-site", "")
    if site:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin", "")
    return not origin or origin.partition("://")[2] == request.headers.get("host", "")


def note_refusal(refusals: Throttle, request: Request, reason: str, path: str = "") -> None:
    """A request was answered 401. `path` is told instead of its own, where that holds a secret."""
    more = refusals.note(time.monotonic())
    if more is not None:
        client = request.client.host if request.client else "an unknown address"
        log.warning("credentials from %s were refused at %s: %s%s", client, (path or request.url.path)[:80], reason, more)
