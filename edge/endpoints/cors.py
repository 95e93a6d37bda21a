"""Browsers: which pages may call this API from somebody's browser, said in the words of the Fetch standard (CORS).

Off until `[cors] origins` in providers.toml names an origin: a key in a page is a key for whoever reads the page.
Rule: an origin that may not call gets no CORS header at all, and is told why in the body, where the browser's network panel
shows it. Source: fetch.spec.whatwg.org, 3.3.
"""

import re

from starlette.types import Scope, Send

from edge.relay.response.own import Headers, send_refusal, send_whole
from routing.plan.refusal import Refusal

Origins = tuple[str, ...]
ANY = "*"
PREFLIGHT_S = b"7200"
"""The most that Chromium keeps a preflight's answer."""
EXPOSED = (
    b"x-request-id, x-generation-id, retry-after, retry-after-ms, x-should-retry, openai-processing-ms, x-tollway-ignored,"
    b" x-tollway-cost, idempotency-replayed"
)
METHODS = b"GET, HEAD, POST, PATCH, DELETE"
_FIELD_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*+\Z")
_NAMES_BYTES_MAX = 4_096


def origin_of(headers: Headers) -> str | None:
    """The page's origin; None for whoever is no browser."""
    found = next((value for name, value in headers if name == b"origin"), None)
    return None if found is None else found.decode("latin-1")


class Cors:
    """One request, and whether the page it comes from may make it; `origin` is None for whoever is no browser."""

    def __init__(self, origin: str | None, origins: Origins) -> None:
        self.origin = origin
        self._origins = origins
        self.is_allowed = origin is not None and (ANY in origins or origin.lower() in origins)

    def headers(self) -> Headers:
        """What an answer must have for the page to read it."""
        headers = [(b"vary", b"origin")] if self._origins and ANY not in self._origins else []
        if self.is_allowed:
            headers += [self._allow_origin(), (b"access-control-expose-headers", EXPOSED)]
        return headers

    def _allow_origin(self) -> tuple[bytes, bytes]:
        return b"access-control-allow-origin", b"*" if ANY in self._origins else (self.origin or "").encode("latin-1")

    @staticmethod
    def is_preflight(headers: Headers) -> bool:
        return any(name == b"access-control-request-method" for name, _ in headers)

    async def answer_preflight(self, scope: Scope, send: Send) -> None:
        """What a browser wants to know before it sends the page's request. Any header may be sent: we read few."""
        if not self.is_allowed:
            await send_refusal(send, self._refusal(), scope, [])
            return
        wanted = dict(scope["headers"])
        headers = [self._allow_origin(), (b"access-control-allow-methods", METHODS), (b"access-control-max-age", PREFLIGHT_S)]
        headers.append((b"vary", b"origin, access-control-request-headers"))
        names = wanted.get(b"access-control-request-headers", b"")
        if len(names) <= _NAMES_BYTES_MAX and _FIELD_NAMES.match(names):
            headers.append((b"access-control-allow-headers", names))
        if wanted.get(b"access-control-request-private-network") == b"true":
            headers.append((b"access-control-allow-private-network", b"true"))
        await send_whole(send, 204, headers, b"")

    def _refusal(self) -> Refusal:
        if not self._origins:
            message = (
                "browsers may not call this proxy: its operator has listed no origin (providers.toml, [cors] origins)."
                " Call it from a server, where the key stays secret"
            )
        else:
            message = (
                f"pages of {(self.origin or '')[:200]} may not call this proxy: it is not among [cors] origins in providers.toml"
            )
        return Refusal(403, "origin_not_allowed", message)
