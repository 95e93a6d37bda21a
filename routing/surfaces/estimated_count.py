"""A prompt's tokens where no provider counts them: an estimate of ours, which says that it is one (`usage_source`).

Rule: it is rather too high than too low, by a third of the bytes that a model reads: who believes a count that is too low runs
into the window's end. Rule: what a provider counts is asked there, and a model that does not write text has no count.
"""

from typing import Final

import msgspec

from routing.metering.meter import estimate_prompt
from routing.plan.plan import Plan
from routing.request.envelope import Envelope
from routing.surfaces import SURFACES, Entry
from routing.surfaces.adapter import adapter_of

BYTES_PER_TOKEN: Final = 3
"""Of prose there are four and more, of code, schemas and other scripts about three."""
_encode: Final = msgspec.json.encode


def estimated_count(entry: Entry, envelope: Envelope, plan: Plan) -> bytes | None:
    """The answer of a surface that counts; None where it is none, or it is for a provider to say."""
    if entry.counts is None:
        return None
    format, name = entry.counts
    counted = next(each for each in SURFACES if each.format == format)
    if any(adapter_of(entry, attempt.provider, attempt.model) is not None for attempt in plan.attempts):
        return None
    for attempt in plan.attempts:
        if adapter_of(counted, attempt.provider, attempt.model) is not None:
            model = msgspec.structs.replace(attempt.model, context_tokens=None)
            return _encode({name: estimate_prompt(envelope, model, BYTES_PER_TOKEN), "usage_source": "estimated"})
    return None
