"""What the caller's stream looks like: our id and model in every chunk, usage exactly once, every other byte as it came.

Strategy: a provider's chunks begin alike. Once one chunk was read in full, others with the same beginning are passed by swapping
that beginning, unless something in them decides (a finish, usage, an error), which is read in full again. Most also end alike:
then only the text between is looked at, and it cannot decide anything if it has no quote in it.
Usage: the chunk with `finish_reason` is held back until it is known what follows. For a caller that set `include_usage` usage
goes out as one last chunk with empty `choices`; for any other it is merged into the held chunk. A usage that a provider puts
elsewhere becomes null there, so it is never seen twice.
Rule: what cannot be read passes unchanged; nothing here breaks a stream. Rule: `[DONE]` is only ever the provider's own.
OpenRouter's flavour changes more of a chunk (`routing.openrouter`): there a chunk is only passed the short way when all of it but
one text was seen before.
Limits: an Azure-like first chunk with empty `choices` and no usage is the provider's, and passes.
"""

import re
from typing import NamedTuple

import msgspec
from msgspec import Raw

from routing.answer import Identity, usage_chunk
from routing.dialects.openai import Chunk, decode_chunk
from routing.meter import TEXT, Meter
from routing.openrouter import chunk_members, usage_member
from routing.splice import Members, decode_members, replace
from routing.sse import Lines, payload_of
from usage.flavor import Flavor

_encode = msgspec.json.encode
_CHOICES = b'"choices":['
_find_decisive = re.compile(rb'"(?:finish_reason":"|usage":\{|error":)|": ').search
"""What in the rest of a chunk makes it necessary to read it in full."""
_find_unplain = re.compile(rb'["\\\r\n]').search
LESSONS_MAX = 8
"""How often a stream's plain chunk is learned; one whose chunks always differ elsewhere too is not worth more."""


class Plain(NamedTuple):
    """A whole event of a stream but for its one text: what stands before it, there and here, and behind it.

    `new_tail` is there where the tail is another one here; `between` where the text stands here twice, with that between.
    """

    head: bytes
    new_head: bytes
    tail: bytes
    head_bytes: int
    size: int
    between: bytes | None = None
    new_tail: bytes | None = None


class StreamRewrite:
    """One stream. `feed` takes what the provider sent and returns what may go to the caller now.

    After `is_over` nothing that follows matters. `error` is the provider's error object once it reported one (its chunk is not
    passed on). `finish_reason` is empty while the answer goes on.
    """

    __slots__ = (
        "_ending",
        "_held",
        "_held_members",
        "_identity",
        "_include_usage",
        "_lessons",
        "_lines",
        "_new_start",
        "_out",
        "_plain",
        "_provider",
        "_start",
        "_swallow_blank",
        "_swappable",
        "_unfinished",
        "_usage_line",
        "created",
        "error",
        "finish_reason",
        "is_done",
        "is_over",
        "meter",
        "upstream_id",
    )

    def __init__(self, identity: Identity, meter: Meter, *, include_usage: bool, created: int, line_bytes_max: int) -> None:
        self.meter = meter
        self.created = created
        self.finish_reason = ""
        self.upstream_id = ""
        self.error = b""
        self.is_done = False
        self.is_over = False
        self._identity = identity
        self._include_usage = include_usage
        self._lines = Lines(line_bytes_max)
        self._unfinished = self._lines.pieces
        self._out: list[bytes] = []
        self._held: list[bytes] = []
        self._held_members: Members = {}
        self._usage_line = b""
        self._ending = b"\n"
        self._swallow_blank = False
        self._start: bytes | None = None
        self._new_start = b""
        self._plain: Plain | None = None
        self._swappable: Plain | None = None
        """`_plain`, while what comes next begins an event."""
        self._lessons = LESSONS_MAX
        self._provider = Raw(_encode(identity.provider)) if identity.flavor is Flavor.OPENROUTER else None
        """There when chunks are OpenRouter's."""

    @property
    def is_at_boundary(self) -> bool:
        """Whether a comment may be put in between now: the caller has whole events only."""
        return not self._unfinished and not self._held

    def swap(self, data: bytes) -> bytes:
        """`feed` for what is one plain event, the short way; nothing, and nothing done, for anything else."""
        plain = self._swappable
        if plain is not None:
            head, new_head, tail, head_bytes, size, between, new_tail = plain
            text_bytes = len(data) - size
            if text_bytes > 0 and data.startswith(head) and data.endswith(tail):
                rest = data[head_bytes:]
                if _find_unplain(rest, 0, text_bytes) is None:
                    meter = self.meter
                    meter.deltas += 1
                    meter.text_bytes += text_bytes
                    if new_tail is None:
                        return new_head + rest
                    text = rest[:text_bytes]
                    return new_head + text + (b"" if between is None else between + text) + new_tail
        return b""

    @property
    def _is_clear(self) -> bool:
        """Whether what comes next begins an event, and nothing is held back before it."""
        return not (self._unfinished or self._held or self._swallow_blank)

    def feed(self, data: bytes) -> bytes:
        return self.swap(data) or self.scan(data)

    def scan(self, data: bytes) -> bytes:
        """`feed` for anything, the long way."""
        start = self._start
        # Most reads are one event, whole: a line that begins like the others, and the blank line that ends it.
        if start is not None and data.startswith(start) and data.find(b"\n") == len(data) - 2 and data.endswith(b"\n\n"):
            rest = data[len(start) :]
            if self._is_clear and b"\r" not in rest and _find_decisive(rest) is None:
                self.meter.observe_text(rest)
                if self._lessons:
                    self._learn_plain(start, rest)
                return self._new_start + rest
        out = self._out
        for line in self._lines.feed(data):
            start = self._start
            if start is not None and line.startswith(start) and not self._held:
                rest = line[len(start) :]
                if _find_decisive(rest) is None:
                    self.meter.observe_text(rest)
                    out += (self._new_start, rest)
                    continue
            elif self._provider is not None and not self._held:
                self._swappable = self._plain
                if sent := self.swap(line + b"\n"):
                    out.append(sent[:-1])
                    continue
            self._take(line)
        self._swappable = self._plain if self._is_clear else None
        sent = b"".join(out)
        out.clear()
        return sent

    def finish(self) -> bytes:
        """The provider's body ended cleanly: what is still to go out."""
        rest = self._lines.finish()
        if rest:
            self._take(rest)
        if not self.is_over and not self.error:
            self._conclude()
            self.is_over = True
        sent = b"".join(self._out)
        self._out.clear()
        return sent

    def _take(self, line: bytes) -> None:
        if self.is_over:
            return
        payload = payload_of(line)
        if not payload:
            self._pass_framing(line)
        elif payload == b"[DONE]":
            self._conclude()
            self._out.append(line)
            self._start = self._plain = None
            self.is_done = True
        else:
            self._take_chunk(line, payload)

    def _pass_framing(self, line: bytes) -> None:
        """Blank lines, comments, `event:` lines, `data:` with nothing in it."""
        is_blank = line in (b"\n", b"\r\n", b"\r")
        if is_blank and self._swallow_blank:
            self._swallow_blank = False
        elif self._held and not self.is_done:
            self._held.append(line)
        else:
            self._out.append(line)
        if is_blank and self.is_done:
            self.is_over = True

    def _take_chunk(self, line: bytes, payload: bytes) -> None:
        try:
            chunk, members = decode_chunk(payload), decode_members(payload)
        except (msgspec.DecodeError, RecursionError):
            self._release()
            self.meter.observe_unread(payload)
            self._out.append(line)
            return
        if chunk.has_error:
            self._release()
            self.error = bytes(chunk.error)
            self._start = self._plain = None
            self.is_over = True
            return
        self._note(chunk)
        usage = chunk.any_usage
        self.meter.observe_text(payload)
        if usage:
            self.meter.observe_usage(usage)
        if not chunk.choices and usage:
            self._ending = line[len(line.rstrip(b"\r\n")) :] or b"\n"
            self._usage_line = line
            self._swallow_blank = True
            return
        self._release()
        if chunk.finish_reason:
            self.finish_reason = chunk.finish_reason
            if not self._include_usage:
                self._held.append(line)
                self._held_members = members
                return
        self._emit(line, payload, members, is_plain=not usage and not chunk.finish_reason)

    def _note(self, chunk: Chunk) -> None:
        if not self.upstream_id:
            self.upstream_id = chunk.upstream_id
        self.meter.tier = chunk.tier or self.meter.tier
        if isinstance(chunk.created, int) and chunk.created > 0:
            self.created = chunk.created

    def _emit(self, line: bytes, payload: bytes, members: Members, *, is_plain: bool) -> None:
        if self._provider is not None:
            self._emit_reshaped(line, payload, members, is_plain=is_plain)
            return
        values = {"id": self._identity.id_json, "model": self._identity.model_json}
        if not is_plain and bytes(members.get("usage", b"null")) != b"null":
            values["usage"] = Raw(b"null")
        rewritten = replace(payload, members, {name: value for name, value in values.items() if name in members})
        new_line = line.replace(payload, rewritten, 1)
        self._out.append(new_line)
        if is_plain and self._start is None:
            self._learn(line, new_line)

    def _emit_reshaped(self, line: bytes, payload: bytes, members: Members, *, is_plain: bool) -> None:
        """`_emit` for OpenRouter's clients."""
        new_line = line.replace(payload, self._reshaped(members, b""), 1)
        self._out.append(new_line)
        if is_plain and self._lessons and (plain := plain_of(line, new_line)) is not None:
            self._lessons -= 1
            self._plain = plain

    def _reshaped(self, members: Members, usage: bytes) -> bytes:
        """A chunk for OpenRouter's clients, with that usage or none."""
        assert self._provider is not None
        kept = chunk_members(members, self._provider, self.created)
        kept.pop("usage", None)
        kept["id"], kept["model"] = self._identity.id_json, self._identity.model_json
        if usage:
            kept["usage"] = usage_member(usage)
        return _encode(kept)

    def _learn(self, line: bytes, new_line: bytes) -> None:
        old_end, new_end = line.find(_CHOICES), new_line.find(_CHOICES)
        if old_end > 0 and line[old_end:] == new_line[new_end:]:
            self._plain = None
            self._start = line[: old_end + len(_CHOICES)]
            self._new_start = new_line[: new_end + len(_CHOICES)]

    def _learn_plain(self, start: bytes, rest: bytes) -> None:
        """`rest` is that of a whole event that decided nothing."""
        self._lessons -= 1
        found = TEXT.search(rest)
        if found is not None and TEXT.search(rest, found.end()) is None:
            head, tail = rest[: found.start(1)], rest[found.end(1) :]
            head_bytes = len(start) + len(head)
            self._plain = Plain(start + head, self._new_start + head, tail, head_bytes, head_bytes + len(tail))
            self._swappable = self._plain

    def _release(self) -> None:
        """The held chunk was not the last one: it goes out without usage."""
        if self._held:
            line, *framing = self._held
            payload = payload_of(line)
            assert payload is not None
            self._held.clear()
            self._emit(line, payload, self._held_members, is_plain=False)
            self._out.extend(framing)

    def _conclude(self) -> None:
        """Usage is final: merge it into the held chunk, or send it as the last chunk of its own."""
        usage = self.meter.usage_json() if self._held or self._include_usage else b""
        if self._held:
            line, *framing = self._held
            payload = payload_of(line)
            assert payload is not None
            self._out.append(line.replace(payload, self._with_usage(payload, self._held_members, usage), 1))
            self._out.extend(framing)
            self._held.clear()
        if self._include_usage:
            self._out.append(self._usage_event(usage))

    def _usage_event(self, usage: bytes) -> bytes:
        line = self._usage_line
        payload = payload_of(line) if line else None
        if payload is None:
            return usage_chunk(self._identity, usage, self.created)
        return (
            line.rstrip(b"\r\n").replace(payload, self._with_usage(payload, decode_members(payload), usage), 1) + self._ending * 2
        )

    def _with_usage(self, payload: bytes, members: Members, usage: bytes) -> bytes:
        if self._provider is not None:
            return self._reshaped(members, usage)
        values = {"id": self._identity.id_json, "model": self._identity.model_json, "usage": Raw(usage)}
        return replace(payload, members, values)


def plain_of(line: bytes, new_line: bytes) -> Plain | None:
    """What can be learned of an event that is one line and an empty one, and of what became of it: None when it has no text, or
    several, or one that had to be written in another way."""
    found = TEXT.search(line)
    if not line.endswith(b"}\n") or found is None or TEXT.search(line, found.end()) is not None:
        return None
    text = found[1]
    spans = [match.span(1) for match in TEXT.finditer(new_line)]
    if not 1 <= len(spans) <= 2 or any(new_line[start:end] != text for start, end in spans):
        return None
    head, tail = line[: found.start(1)], line[found.end(1) :] + b"\n"
    between = new_line[spans[0][1] : spans[1][0]] if len(spans) == 2 else None
    new_tail = new_line[spans[-1][1] :] + b"\n"
    return Plain(head, new_line[: spans[0][0]], tail, len(head), len(head) + len(tail), between, new_tail)
