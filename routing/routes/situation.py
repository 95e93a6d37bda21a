"""What a route's targets are for one request, and in which order: by shares, price, speed, or as they are written.

Rule: a conversation that has a target keeps it while that is one of the route's; what was cached there is cheaper and faster.
Strategy of `fastest`: the better of two drawn by chance, so that a target that has become slow is noticed and one that has
become fast is found, and not all callers run to the same one (the power of two choices). The speeds are peak-EWMA
(`routing.routes.speed`).
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from itertools import accumulate

import msgspec

from routing.request.envelope import Envelope
from routing.routes.route import Route, Situation

Speeds = Mapping[str, float]
"""Seconds to the first token, by the id of the model; what is not known is not in it."""
BYTES_PER_TOKEN = 4
NO_PARTS: frozenset[str] = frozenset()
_list_of_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode
_role = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def targets_now(
    route: Route, situation: Situation, roll: float, speeds: Speeds, price_of: Callable[[str], int], kept: str = ""
) -> tuple[str, ...]:
    """Each target that is one now, once, the one to ask first in front."""
    shares = route.weights(situation)
    ordered = _ordered(route, shares, roll, speeds, price_of)
    return (kept, *(each for each in ordered if each != kept)) if kept in shares else ordered


def _ordered(
    route: Route, shares: dict[str, int], roll: float, speeds: Speeds, price_of: Callable[[str], int]
) -> tuple[str, ...]:
    if len(shares) < 2 or route.balance == "in_order":
        return tuple(shares)
    if route.balance == "cheapest":
        return tuple(sorted(shares, key=price_of))
    if route.balance == "fastest":
        return _fastest(tuple(shares), roll, speeds)
    ends = list(accumulate(shares.values()))
    at = roll * ends[-1]
    drawn = next(name for name, end in zip(shares, ends, strict=True) if at < end)
    rest = sorted((name for name in shares if name != drawn), key=lambda name: -shares[name])
    return (drawn, *rest)


def _fastest(names: tuple[str, ...], roll: float, speeds: Speeds) -> tuple[str, ...]:
    """One roll draws both: its whole part the first, what is left of it the second."""
    at, rest = divmod(roll * len(names), 1.0)
    first = names[int(at)]
    others = [name for name in names if name != first]
    second = others[int(rest * len(others))]
    best = min((first, second), key=lambda name: speeds.get(name, 0.0))
    return (best, *sorted((name for name in names if name != best), key=lambda name: speeds.get(name, 0.0)))


def situation_of(
    envelope: Envelope, region: str, hour_utc: int, account: str, *, is_sticky: bool, has_parts: bool = True
) -> Situation:
    """The facts that a route may ask for. Tokens of the prompt are counted as a quarter of its bytes. `has_parts`: with what the
    request is made of, for which its prompt is read through."""
    return Situation(
        region,
        _parts(envelope) if has_parts else NO_PARTS,
        envelope.prompt_bytes // BYTES_PER_TOKEN,
        envelope.max_tokens or 0,
        envelope.stream,
        hour_utc,
        conversation_of(envelope, account) if is_sticky else "",
    )


def _parts(envelope: Envelope) -> frozenset[str]:
    members = envelope.members
    parts = set()
    if "tools" in members or "functions" in members:
        parts.add("tools")
    if "response_format" in members or b"json_schema" in bytes(members.get("text", b"")):
        parts.add("json")
    if envelope.remote_others:
        parts.add("file")
    if envelope.remote_images:
        parts.add("image")
    prompt = [bytes(members[name]) for name in ("messages", "input", "contents", "system") if name in members]
    if envelope.inline_media:
        marks = (("image", b"image"), ("audio", b"audio"), ("file", b"pdf"))
        parts |= {name for name, mark in marks if any(mark in text for text in prompt)}
    if any(b'"file_data"' in text for text in prompt):
        parts.add("file")
    return frozenset(parts)


def conversation_of(envelope: Envelope, account: str) -> str:
    """What the turns of one conversation have in common: what the caller names it by, else its first messages up to the user's.
    Empty where nothing can be said."""
    members = envelope.members
    for name in ("session_id", "prompt_cache_key", "conversation"):
        if name in members:
            return _digest(account, bytes(members[name]))
    opening = next((members[name] for name in ("messages", "input", "contents") if name in members), None)
    if opening is None:
        return ""
    try:
        messages = _list_of_raw(opening)
    except (msgspec.DecodeError, RecursionError):
        return _digest(account, bytes(opening))
    head = []
    for each in messages:
        head.append(bytes(each))
        if _is_user(each):
            break
    return _digest(account, bytes(members.get("system", b"")), *head)


def _is_user(message: msgspec.Raw) -> bool:
    try:
        return bytes(_role(message).get("role", b'"user"')) == b'"user"'
    except (msgspec.DecodeError, RecursionError):
        return True


def _digest(account: str, *parts: bytes) -> str:
    digest = blake2b(account.encode(), digest_size=12)
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()
