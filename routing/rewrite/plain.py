"""Whole JSON answers beside the generated ones (vectors, ranks, verdicts, images): our names and the cost, every other byte the
provider's.

Rule: they may be large, so they are spliced and never rebuilt. Rule: an answer that lacks what makes it one is none.
Source: OpenAI's, Cohere's, Jina's and Voyage's references.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.failures.provider_error import no_answer, reported_error
from routing.metering.meter import Meter
from routing.metering.picture_usage import picture_usage
from routing.rewrite.chat.provider_event import explains_itself
from routing.rewrite.cost import usage_with_cost
from routing.rewrite.identity import Identity
from routing.rewrite.whole_answer import read_answer
from routing.wire.members import REFUSED, Members, decode_members, replace
from usage.flavor import Flavor
from usage.record import FOREIGN_CHARS_MAX

_NOTHING: Final = (b"", b"null")
_encode: Final = msgspec.json.encode
_decode_any: Final = msgspec.json.Decoder(Any).decode


def opened(body: bytes, *names: str) -> Members:
    """The members of an answer that has one of `names`. AttemptFailed."""
    members = read_answer(body)
    error = bytes(members.get("error", b""))
    if error not in _NOTHING:
        raise reported_error(error)
    if not any(name in members for name in names):
        if explains_itself(members):
            raise reported_error(body)
        raise no_answer(f"no {names[0]}")
    return members


def observe(usage: Raw | None, meter: Meter, *, writes: bool = False) -> None:
    """A usage object. Where nothing is written (`writes`), what is not told of a completion is none."""
    text = bytes(usage or b"")
    if text in _NOTHING:
        return
    if not writes:
        try:
            members = decode_members(text)
        except REFUSED:
            return
        if all(bytes(members.get(name, b"null")) == b"null" for name in ("completion_tokens", "output_tokens")):
            name = "output_tokens" if "input_tokens" in members else "completion_tokens"
            text = replace(text, members, {name: Raw(b"0")})
    meter.observe_usage(text)


def counts_of(meter: Meter) -> dict[str, int]:
    tokens = meter.bill().tokens
    return {"prompt_tokens": tokens.prompt, "total_tokens": tokens.total}


def dressed(
    body: bytes, members: Members, identity: Identity, meter: Meter, *, has_id: bool = True, is_picture: bool = False
) -> bytes:
    """The answer with our id (where it has one), the model that was asked for and its cost."""
    names: Members = {"id": identity.id_json, "model": identity.model_json}
    values = {name: value for name, value in names.items() if name in members and (has_id or name != "id")}
    values["usage"] = usage_with_cost(members.get("usage"), meter, counts_of(meter))
    if is_picture and identity.flavor is Flavor.OPENROUTER:
        values["usage"] = picture_usage(values["usage"], (tokens := meter.bill().tokens).prompt, tokens.completion)
    return replace(body, members, values)


def id_of(members: Members) -> str:
    """The provider's own id."""
    try:
        found = _decode_any(members["id"])
    except (KeyError, *REFUSED):
        return ""
    return found[:FOREIGN_CHARS_MAX] if isinstance(found, str) else ""
