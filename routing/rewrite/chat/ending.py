"""The end of a caller's stream: what is held back from the finish on, and the one place where usage goes out.

Rule: usage goes out once, whatever the order in which a provider sends finish, usage and the rest. For a caller that set
`include_usage` it is one last chunk with empty `choices`; for any other it is merged into the last chunk with a `finish_reason`,
which waits for it with everything that comes behind it. Where text came behind that chunk, or none came at all, it is a chunk
with one empty delta: a caller that did not ask for a chunk without choices may not know what to do with one.
Limits: HELD_MAX chunks wait; a provider that sends more behind its finish has them passed on, without usage.
"""

from typing import NamedTuple

import msgspec
from msgspec import Raw

from routing.rewrite.chat.answer import last_chunk, usage_chunk
from routing.rewrite.chat.openrouter import chunk_members, usage_member
from routing.rewrite.identity import Identity
from routing.wire.members import Members, replace
from routing.wire.repair import Reading
from usage.flavor import Flavor

HELD_MAX = 64
NULL = Raw(b"null")
_encode = msgspec.json.encode


class Chunk(NamedTuple):
    """One event of a stream: its line, the JSON in it, and what was read of that. `framing` is what came behind the line."""

    line: bytes
    payload: bytes
    reading: Reading
    framing: list[bytes]

    def rewritten(self, identity: Identity, created: int, usage: Raw | None = None) -> bytes:
        """The line with our names. `usage`: what to tell there; NULL: one that is there is told elsewhere; None: no matter."""
        members = self.reading.members
        if identity.flavor is Flavor.OPENROUTER:
            told = b"" if usage is None or usage is NULL else bytes(usage)
            return self.line.replace(self.payload, _reshaped(members, identity, created, told), 1)
        values = {"id": identity.id_json, "model": identity.model_json}
        if usage is None or usage is NULL:
            values = {name: value for name, value in values.items() if name in members}
        if usage is not None and (usage is not NULL or bytes(members.get("usage", NULL)) != b"null"):
            values["usage"] = usage
        return self.line.replace(self.payload, replace(self.payload, members, values, self.reading.places), 1)


class Ending:
    """`held` is always the same list."""

    __slots__ = ("_identity", "_include_usage", "_usage", "held")

    def __init__(self, identity: Identity, *, include_usage: bool) -> None:
        self._identity = identity
        self._include_usage = include_usage
        self._usage: Chunk | None = None
        self.held: list[Chunk] = []

    def keep_usage(self, chunk: Chunk) -> None:
        """A chunk that is there for its usage alone: the last one gives ours its shape."""
        self._usage = chunk

    def takes(self, chunk: Chunk, *, has_text: bool) -> bool:
        """Whether the chunk waits for what follows, as one with a finish does, and what comes behind it without a text."""
        if self._include_usage or not (chunk.reading.chunk.finish_reason or (self.held and not has_text)):
            return False
        if len(self.held) >= HELD_MAX:
            return False
        self.held.append(chunk)
        return True

    def release(self, created: int) -> list[bytes]:
        """What was held was not the end: it goes out without usage."""
        return self._out(None, b"", created)

    def conclude(self, usage: bytes, created: int) -> list[bytes]:
        """What is still to go out, with the usage."""
        if self._include_usage:
            return [self._usage_event(usage, created)]
        if not self.held:
            return [last_chunk(self._identity, usage, created)]
        finishes = [chunk for chunk in self.held if chunk.reading.chunk.finish_reason]
        return self._out(finishes[-1], usage, created)

    def _out(self, last: Chunk | None, usage: bytes, created: int) -> list[bytes]:
        out = []
        for chunk in self.held:
            out.append(chunk.rewritten(self._identity, created, Raw(usage) if chunk is last else NULL))
            out += chunk.framing
        self.held.clear()
        return out

    def _usage_event(self, usage: bytes, created: int) -> bytes:
        if self._usage is None:
            return usage_chunk(self._identity, usage, created)
        line, payload, reading, _ = self._usage
        body = line.rstrip(b"\r\n")
        end = line[len(body) :] or b"\n"
        return body.replace(payload, self._with_usage(payload, reading, usage, created), 1) + end * 2

    def _with_usage(self, payload: bytes, reading: Reading, usage: bytes, created: int) -> bytes:
        members = reading.members
        if bytes(members.get("choices", NULL)) == b"null":
            members = {**members, "choices": Raw(b"[]")}
        if self._identity.flavor is Flavor.OPENROUTER:
            return _reshaped(members, self._identity, created, usage)
        values = {"id": self._identity.id_json, "model": self._identity.model_json, "usage": Raw(usage)}
        if members is not reading.members:
            values["choices"] = members["choices"]
        return replace(payload, reading.members, values, reading.places)


def _reshaped(members: Members, identity: Identity, created: int, usage: bytes) -> bytes:
    """A chunk for OpenRouter's clients, with that usage or none."""
    kept = chunk_members(members, identity.provider_json, created)
    kept.pop("usage", None)
    kept["id"], kept["model"] = identity.id_json, identity.model_json
    if usage:
        kept["usage"] = usage_member(usage)
    return _encode(kept)
