"""Turns a template and its values into an answer: autoescaped HTML under a Content-Security-Policy that runs our files alone.

Rule: no page has an inline script or style. htmx has the one Trusted Types policy, and only elements that carry the page's nonce
are its own: a name that somebody smuggled into a page is text, whatever it says.
Rule: nothing of a page is kept by a cache, framed, or told to another site.
"""

import gzip
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import Response

from collector.dashboard.assets import Assets
from collector.dashboard.display import figures
from usage.pricing import dollars

POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; img-src 'self'; connect-src 'self'{connect};"
    " form-action 'self'{form}; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types htmx"
)
PACKED_BYTES_MIN = 2_000
HEADERS = {
    "cache-control": "no-store",
    "vary": "accept-encoding",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
}


class Pages:
    """The templates. `connect` is the origin of the edge that the playground calls, when it is another one than ours."""

    def __init__(self, assets: Assets, connect: str = "") -> None:
        self._assets = assets
        self._connect = connect
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
            finalize=figures.visible,
        )
        self._templates.filters |= {
            "money": figures.money,
            "exact": figures.exact,
            "plain": dollars,
            "count": figures.count,
            "short": figures.short,
            "breakable": figures.breakable,
            "duration": figures.duration,
        }
        self._templates.globals |= {"asset": lambda name: f"/dashboard/static/{assets.names[name]}"}

    def render(self, template: str, values: Mapping[str, Any], status: int = 200, form: str = "") -> Response:
        """A page. `form`: an origin that its form may lead to beside ours (a redirect after consent)."""
        nonce = secrets.token_urlsafe(16)
        html = self._templates.get_template(template).render(values, nonce=nonce)
        policy = POLICY.format(nonce=nonce, connect=f" {self._connect}" if self._connect else "", form=f" {form}" if form else "")
        return Response(html, status, {**HEADERS, "content-security-policy": policy}, "text/html")


def file_of(content: bytes, name: str) -> Response:
    """A CSV file to keep."""
    headers = {**HEADERS, "content-disposition": f'attachment; filename="{name}"'}
    return Response(content, 200, headers, "text/csv; charset=utf-8")


def packed(request: Request, response: Response) -> Response:
    """A page that was read, compressed for a browser that takes it. What a form was answered with, which may show a new key, is
    sent as it is: the length of what is compressed says something of what is in it (BREACH)."""
    body = getattr(response, "body", b"")
    if request.method != "GET" or len(body) < PACKED_BYTES_MIN or "gzip" not in request.headers.get("accept-encoding", ""):
        return response
    response.body = gzip.compress(body, 5, mtime=0)
    response.headers["content-encoding"] = "gzip"
    response.headers["content-length"] = str(len(response.body))
    return response
