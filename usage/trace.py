"""A caller's trace on its way through: read from its `traceparent`, told to the provider with a span of ours as the parent.

Rule: nothing is drawn: the ids of our two spans follow from the generation's id, so the request and whoever writes its spans from
the record, later and elsewhere, know the same ones.
Source: W3C Trace Context. Limits: the headers were checked by `routing.wire.headers`; without one there is no trace.
"""

import re
from hashlib import blake2b
from typing import Final

_PARENT: Final = re.compile(rb"traceparent: [0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NOTHING: Final = "0" * 16


def trace_of(forwarded: bytes) -> str:
    """`<trace id>-<span id>-<flags>` of the header lines that go to a provider; empty when there is no trace in them."""
    found = _PARENT.search(forwarded)
    if found is None:
        return ""
    trace_id, span_id, flags = (part.decode("ascii") for part in found.groups())
    return "" if trace_id == _NOTHING * 2 or span_id == _NOTHING else f"{trace_id}-{span_id}-{flags}"


def is_sampled(trace: str) -> bool:
    """Whether its caller wants it recorded."""
    return bool(trace) and bool(int(trace[-2:], 16) & 1)


def span_ids(gen_id: str) -> tuple[str, str]:
    """Of a generation: our server's span, and within it the one of the call to the provider."""
    ids = blake2b(gen_id.encode(), digest_size=16).hexdigest()
    return ids[:16], ids[16:]


def onward(forwarded: bytes, gen_id: str) -> bytes:
    """The header lines with our own span as the parent of the provider's."""
    found = _PARENT.search(forwarded)
    assert found is not None
    start, end = found.span(2)
    return forwarded[:start] + span_ids(gen_id)[1].encode("ascii") + forwarded[end:]
