"""In whose words a refusal is told where the surface alone does not say: at a path that nobody serves, with a wrong method, for a
head that is none, and at a base that one vendor's SDKs alone are pointed at.

Rule: the base decides, then the path (what stands below a surface's path is called by that surface's SDKs), then what a client
says of itself; what is left is told in the words of the flavour. The words themselves are each surface's `error_response`
(Anthropic's: `routing.surfaces.anthropic.messages`).
"""

from typing import Final

from routing.plan.refusal import Refusal
from routing.surfaces import COHERE_BASES, GOOGLE_BASES, SURFACES, Entry, ErrorResponse, Headers, Surface, surface_of
from usage.flavor import BASES, flavor_of

_BY_FORMAT: Final = {entry.format: entry for entry in SURFACES}
_OWNERS: Final = {
    **dict.fromkeys(COHERE_BASES, _BY_FORMAT["cohere"]),
    **{base: _BY_FORMAT["gemini"] for base in GOOGLE_BASES if base not in BASES},
}
"""Base → the surface of the vendor whose it is."""
_SAID: Final = {b"anthropic-version": _BY_FORMAT["messages"], b"x-goog-api-client": _BY_FORMAT["gemini"]}
"""A header that one vendor's SDKs send with every request."""


def owner_at(path: str) -> Surface | None:
    """The surface of the vendor whose base a path has; None where several share it."""
    return next((surface_of(entry) for base, entry in _OWNERS.items() if _is_below(path, base)), None)


def error_at(path: str, headers: Headers, refusal: Refusal, request_id: str = "") -> ErrorResponse:
    """A refusal in the words of whoever calls there. `headers`: the request's, as far as they were read."""
    flavor = flavor_of(path)
    surface = owner_at(path)
    if surface is None and (entry := _entry_at(path, headers)) is not None:
        surface = surface_of(entry)
    if surface is None:
        return ErrorResponse(refusal.status, refusal.body(flavor), [])
    return surface.error_response(refusal, flavor, request_id)


def _entry_at(path: str, headers: Headers) -> Entry | None:
    for base in BASES:
        if _is_below(path, base):
            rest = path[len(base) :]
            there = (entry for entry in SURFACES if base in entry.bases)
            found = next((entry for entry in there if any(_is_called(rest, each) for each in entry.paths)), None)
            if found is not None:
                return found
    return next((_SAID[name] for name, _ in headers if name in _SAID), None)


def _is_called(path: str, pattern: str) -> bool:
    start, is_template, end = pattern.partition("{model:path}")
    return path.startswith(start) and path.endswith(end) if is_template else _is_below(path, start)


def _is_below(path: str, start: str) -> bool:
    return path.startswith(start) and path[len(start) :][:1] in ("", "/")
