"""For surfaces whose answers are never streamed."""

from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope
from routing.rewrite.identity import Identity
from routing.surfaces import ErrorResponse, Machine
from usage.flavor import Flavor


def machine(identity: Identity, meter: Meter, envelope: Envelope, created: int, line_bytes_max: int) -> Machine:
    raise AssertionError("a surface without streams reads no request for one")


def error_response(refusal: Refusal, flavor: Flavor, request_id: str) -> ErrorResponse:
    """In OpenAI's words, or OpenRouter's."""
    return ErrorResponse(refusal.status, refusal.body(flavor), [])
