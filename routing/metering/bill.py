"""What a generation comes to, and the usage object that says so to the caller.

Rule: the provider's own members stay; the totals are in OpenAI's sense, and `cost` in dollars is added.
"""

import msgspec
from msgspec import Raw

from routing.wire.members import REFUSED, Members, decode_members
from usage.decoding import UNREADABLE
from usage.pricing import dollars
from usage.record import Rates, Tokens, UsageSource

_encode = msgspec.json.encode
_NONE_CACHED = Raw(b'{"cached_tokens":0}')
_NO_REASONING = Raw(b'{"reasoning_tokens":0}')


class Bill(msgspec.Struct, frozen=True, gc=False):
    """What a generation comes to at this moment. `fault`: what the provider claimed that cannot be, empty when nothing.

    `upstream_cost_pico` is what the provider says that it bills, in pico-dollars. `tier` is the service tier that is charged, ""
    for the plain one. `is_as_claimed`: its prompt, completion and total stand in the provider's words, under OpenAI's names.
    """

    tokens: Tokens
    rates: Rates
    cost_nano: int
    source: UsageSource
    fault: str = ""
    upstream_cost_pico: int | None = None
    tier: str = ""
    is_as_claimed: bool = False


def usage_object(text: bytes, bill: Bill) -> bytes:
    """The usage object of `bill`; `text` is the provider's, which may be empty."""
    tokens = bill.tokens
    members = _members_of(text)
    if not bill.is_as_claimed:
        members["prompt_tokens"] = Raw(b"%d" % tokens.prompt)
        members["completion_tokens"] = Raw(b"%d" % tokens.completion)
        members["total_tokens"] = Raw(b"%d" % tokens.total)
    if tokens.cached or "prompt_tokens_details" in members:
        _set_detail(members, "prompt_tokens_details", b"cached_tokens", tokens.cached)
    else:
        members["prompt_tokens_details"] = _NONE_CACHED
    if tokens.reasoning or "completion_tokens_details" in members:
        _set_detail(members, "completion_tokens_details", b"reasoning_tokens", tokens.reasoning)
    else:
        members["completion_tokens_details"] = _NO_REASONING
    members["cost"] = Raw(dollars(bill.cost_nano).encode())
    if "usage_source" in members:
        del members["usage_source"]
    if bill.source != "provider":
        members["usage_source"] = Raw(b'"%b"' % bill.source.encode())
    return _encode(members)


def _members_of(text: bytes) -> Members:
    """The members of a usage object; none of one whose names are in no encoding."""
    try:
        members: Members = decode_members(text)
    except UNREADABLE:
        return {}
    return members


def _set_detail(members: Members, name: str, part: bytes, value: int) -> None:
    """One part in an object of parts; what is no object is replaced by one, unless there is nothing to say."""
    raw = members.get(name)
    if raw is None:
        members[name] = Raw(b'{"%b":%d}' % (part, value))
        return
    if not value and bytes(raw) in (b"null", b"{}"):
        return
    key = part.decode()
    try:
        details = decode_members(raw)
    except REFUSED:
        details = {}
    if not details or bytes(details.get(key, b"0")) != b"%d" % value:
        details[key] = Raw(b"%d" % value)
        members[name] = Raw(_encode(details))
