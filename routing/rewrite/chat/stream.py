"""What the caller's stream looks like: our id and model in every chunk, usage exactly once, every other byte as it came.

Strategy: a provider's chunks begin alike. Once one chunk was read in full, others with the same beginning are passed by swapping
that beginning, unless something in them decides (a finish, usage, an error), which is read in full again. Most also end alike:
then only the text between is looked at, and it cannot decide anything if it has no quote in it. What has to be read in full is
`routing.rewrite.chat.event_rewrite`'s.
OpenRouter's flavour changes more of a chunk (`routing.rewrite.chat.openrouter`): there a chunk is only passed the short way when
all of it but one text was seen before.
"""

import re
from typing import NamedTuple

from routing.metering.meter import TEXT, Meter
from routing.rewrite.chat.ending import Chunk
from routing.rewrite.chat.event_rewrite import EventRewrite
from routing.rewrite.identity import Identity
from routing.wire.quiet import LINES_PER_PART, QUIET_BYTES_MAX, QUIET_LINES_MAX, SLICE_BYTES, SLICE_LINES_MAX
from routing.wire.sse import TooLong
from usage.flavor import Flavor

_CHOICES = b'"choices":['
_find_decisive = re.compile(rb'"(?:finish_reason":"|usage":\{|error":)|": ').search
"""What in the rest of a chunk makes it necessary to read it in full."""
_find_unplain = re.compile(rb'["\\\r\n]').search
LESSONS_MAX = 8
"""How often a stream's plain chunk is learned; one whose chunks always differ elsewhere too is not worth more."""
_QUIET = (b":", b"\r")
"""How a line begins that is no part of an answer."""


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


class StreamRewrite(EventRewrite):
    """One stream. `feed` takes what the provider sent and returns what may go to the caller now.

    After `is_over` nothing that follows matters. `has_begun` once a part of an answer has come, `is_finished` once each of the
    `choices` that were asked for has its finish. `error` is the provider's error, a JSON value or its words, once it reported one
    (its chunk is not passed on). `finish_reason` is empty while the answer goes on. `is_notable` is set, for the reader to take
    back, by a scan that brought something else than more of the answer: its end, or (`is_framing`) nothing that belongs to it.
    """

    __slots__ = (
        "_is_openrouter",
        "_lessons",
        "_new_start",
        "_plain",
        "_quiet_bytes",
        "_quiet_lines",
        "_start",
        "_swappable",
        "is_framing",
        "is_notable",
    )

    def __init__(
        self,
        identity: Identity,
        meter: Meter,
        *,
        include_usage: bool,
        created: int,
        line_bytes_max: int,
        choices: int = 1,
    ) -> None:
        super().__init__(
            identity, meter, include_usage=include_usage, created=created, line_bytes_max=line_bytes_max, choices=choices
        )
        self.is_framing = False
        self.is_notable = False
        self._start: bytes | None = None
        self._new_start = b""
        self._plain: Plain | None = None
        self._swappable: Plain | None = None
        """`_plain`, while what comes next begins an event."""
        self._lessons = LESSONS_MAX
        self._quiet_bytes = self._quiet_lines = 0
        """Since something of the answer came last (`routing.wire.quiet`)."""
        self._is_openrouter = identity.flavor is Flavor.OPENROUTER

    @property
    def is_at_boundary(self) -> bool:
        """Whether a comment may be put in between now: the caller has whole events only."""
        return not (self._unfinished or self._held or self._pending)

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
        return not (self._unfinished or self._held or self._pending or self._swallow_blank)

    def passes(self, data: bytes, sent: bytes) -> bool:
        """Whether `scan` has just passed one event by its beginning, as it would one with another text."""
        start = self._start
        return start is not None and self._is_clear and data.startswith(start) and sent == self._new_start + data[len(start) :]

    def feed(self, data: bytes) -> bytes:
        return self.swap(data) or self.scan(data)

    def scan(self, data: bytes) -> bytes:
        """`feed` for anything, the long way. TooLong."""
        start = self._start
        # Most reads are one event, whole: a line that begins like the others, and the blank line that ends it.
        if start is not None and data.startswith(start) and data.find(b"\n") == len(data) - 2 and data.endswith(b"\n\n"):
            rest = data[len(start) :]
            if self._is_clear and b"\r" not in rest and _find_decisive(rest) is None:
                meter = self.meter
                deltas = meter.deltas
                meter.observe_text(rest)
                if meter.deltas != deltas:
                    if self._lessons:
                        self._learn_plain(start, rest)
                    return self._new_start + rest
                # Without a text it may be anything, also no JSON: it is read.
        if len(data) > SLICE_BYTES:
            return self._scan_slices(data)
        deltas = self.meter.deltas
        lines = self._lines.feed(data)
        is_framing = self._scan_lines(lines)
        if is_framing and self._unfinished and self._unfinished[0][:1] not in _QUIET:
            is_framing = False
        self.is_framing = is_framing
        if is_framing or self.is_over or self.is_finished:
            self.is_notable = True
        quiet_lines = len(lines) - LINES_PER_PART * (self.meter.deltas - deltas)
        is_flood = quiet_lines > SLICE_LINES_MAX
        quiet_lines += self._quiet_lines
        self._quiet_lines = quiet_lines if quiet_lines > 0 else 0
        self._quiet_bytes = self._quiet_bytes + len(data) if is_framing else 0
        if is_flood or quiet_lines > QUIET_LINES_MAX or self._quiet_bytes > QUIET_BYTES_MAX:
            raise TooLong(f"{quiet_lines} lines, {self._quiet_bytes} bytes and no more of the answer in them")
        self._swappable = self._plain if self._is_clear else None
        return self._drain()

    def _scan_lines(self, lines: list[bytes]) -> bool:
        """What becomes of them, put to what goes out; whether none of them was a part of the answer."""
        out = self._out
        is_framing, is_passed = True, False
        for line in lines:
            if is_passed and line == b"\n" and not self._swallow_blank:
                out.append(line)  # it ends the event that has just been passed
                is_passed = False
                continue
            start, is_passed = self._start, False
            if start is not None and line.startswith(start) and not (self._held or self._pending):
                rest = line[len(start) :]
                if _find_decisive(rest) is None:
                    counted = self.meter.deltas
                    self.meter.observe_text(rest)
                    if self.meter.deltas != counted:
                        out += (self._new_start, rest)
                        is_framing, is_passed = False, True
                        continue
            elif self._is_openrouter and not (self._held or self._pending):
                self._swappable = self._plain
                if sent := self.swap(line + b"\n"):
                    out.append(sent[:-1])
                    is_framing = False
                    continue
            if self._take(line):
                is_framing = False
        return is_framing

    def _scan_slices(self, data: bytes) -> bytes:
        """Much at once: a flood of nothing is seen before all of it was worked on."""
        sent: list[bytes] = []
        is_framing = True
        try:
            for at in range(0, len(data), SLICE_BYTES):
                sent.append(self.scan(data[at : at + SLICE_BYTES]))
                is_framing = is_framing and self.is_framing
        except TooLong:
            self._out[:0] = sent
            raise
        self.is_framing = is_framing
        return b"".join(sent)

    def _learn(self, event: Chunk, new_line: bytes) -> None:
        line = event.line
        if self._is_openrouter:
            if self._lessons and (plain := plain_of(line, new_line)) is not None:
                self._lessons -= 1
                self._plain = plain
            return
        if self._start is not None:
            return
        old_end, new_end = line.find(_CHOICES), new_line.find(_CHOICES)
        if old_end > 0 and line[old_end:] == new_line[new_end:]:
            self._plain = None
            self._start = line[: old_end + len(_CHOICES)]
            self._new_start = new_line[: new_end + len(_CHOICES)]

    def _forget(self) -> None:
        self._start = self._plain = None

    def _learn_plain(self, start: bytes, rest: bytes) -> None:
        """`rest` is that of a whole event that decided nothing."""
        self._lessons -= 1
        found = TEXT.search(rest)
        if found is not None and TEXT.search(rest, found.end()) is None:
            head, tail = rest[: found.start(1)], rest[found.end(1) :]
            head_bytes = len(start) + len(head)
            self._plain = Plain(start + head, self._new_start + head, tail, head_bytes, head_bytes + len(tail))
            self._swappable = self._plain


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
