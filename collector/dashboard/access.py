"""Who is looking: the session behind a request's cookie, and what keeps other sites and guessers out.

Rule: a request that changes something is obeyed only when it comes from a page of ours (`collector.http.same_origin`). Then
no token is needed in any form.
Rule: signing in is limited by address: ten attempts that failed within a minute, then none for a minute.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from collector.http.body import read_body
from collector.http.same_origin import is_same_origin

COOKIE = "__Host-tollway"
"""Secure, and for this host alone. Browsers take it over plain HTTP from localhost only."""
FORM_BYTES_MAX = 65_536
FORM_FIELDS_MAX = 64
PAGES_AT_ONCE_MAX = 8
ATTEMPTS_MAX = 10
ATTEMPTS_S = 60.0
ADDRESSES_MAX = 4_096
_SAFE = ("GET", "HEAD", "OPTIONS")


class Forbidden(Exception):
    """The request is not obeyed; the message is for the page."""

    def __init__(self, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def check_origin(request: Request) -> None:
    """Forbidden: the request changes something, and another site's page sent it."""
    if request.method not in _SAFE and not is_same_origin(request):
        raise Forbidden("this was sent by a page of another site, so it was not done")


def secret_of(request: Request) -> str:
    """What the cookie holds; empty when there is none."""
    return request.cookies.get(COOKIE, "")


def keep(response: Response, secret: str, life_s: int) -> None:
    """Give the browser its session."""
    response.set_cookie(COOKIE, secret, max_age=life_s, path="/", secure=True, httponly=True, samesite="lax")


def forget(response: Response) -> None:
    """Take the session from the browser."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded form, the first of each name; Forbidden when it is none or too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Forbidden("a form is expected", 415)
    body = await read_body(request, FORM_BYTES_MAX)
    if body is None:
        raise Forbidden("the form is too large", 413)
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX, errors="strict")
    except ValueError:
        raise Forbidden("the form cannot be read", 400) from None
    return {name: values[0].replace("\0", "").strip() for name, values in fields.items()}


class PagesUnderWay:
    """How many pages each session has under way at once; beyond PAGES_AT_ONCE_MAX it is refused."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    @contextmanager
    def one_more(self, secret: str) -> Iterator[None]:
        """While it is made. Forbidden: too many are."""
        if self._counts[secret] >= PAGES_AT_ONCE_MAX:
            raise Forbidden("this session asks for too many pages at once; let some come", 429)
        self._counts[secret] += 1
        try:
            yield
        finally:
            self._counts[secret] -= 1
            if not self._counts[secret]:
                del self._counts[secret]


class SignInAttempts:
    """Sign-ins that failed lately, by address. Bounded: the address unseen for longest is forgotten first."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Forbidden: too many failed from there."""
        now_s = time.monotonic()
        recent = [at for at in self._failed.get(address, ()) if now_s - at < ATTEMPTS_S]
        if len(recent) >= ATTEMPTS_MAX:
            raise Forbidden("too many sign-ins have failed from your address; wait a minute", 429)

    def note_failure(self, address: str) -> None:
        """One more."""
        now_s = time.monotonic()
        recent = [at for at in self._failed.pop(address, ()) if now_s - at < ATTEMPTS_S]
        self._failed[address] = [*recent, now_s][-ATTEMPTS_MAX:]
        while len(self._failed) > ADDRESSES_MAX:
            self._failed.popitem(last=False)
