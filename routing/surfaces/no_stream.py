"""For surfaces whose answers are never streamed."""

from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope
from routing.rewrite.answer import Identity
from routing.surfaces import Machine, Told
from usage.flavor import Flavor


def machine(identity: Identity, meter: Meter, envelope: Envelope, created: int, line_bytes_max: int) -> Machine:
    raise AssertionError("a surface without streams reads no request for one")


def told(refusal: Refusal, flavor: Flavor, request_id: str) -> Told:
    """In OpenAI's words, or OpenRouter's."""
    return Told(refusal.status, refusal.body(flavor), [])
