"""What becomes of each line of a provider's stream: chunks with our id and model, errors taken out, usage to the end.

Rule: what cannot be read passes, is counted by its bytes, and breaks nothing. A payload that is no JSON waits for the end of its
event: the lines of an event are one text then (as the SSE specification joins them), put on one line for clients that read lines.
Rule: `[DONE]` is only ever the provider's own. What is held back from the finish on, and where the usage goes, is
`routing.rewrite.chat.ending`'s.
Limits: an Azure-like first chunk with empty `choices` and no usage is the provider's, and passes.
"""

from routing.dialects.openai import Chunk as ProviderChunk
from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.rewrite.chat.answer import error_event, length_chunk
from routing.rewrite.chat.ending import NULL, Chunk, Ending
from routing.rewrite.chat.provider_event import error_line, error_of, is_error_name, parted
from routing.rewrite.identity import Identity
from routing.wire.repair import BOM, read_object, replace_leading
from routing.wire.sse import BLANK, Lines, TooLong, payload_of


class EventRewrite:
    """The long way of `routing.rewrite.chat.stream.StreamRewrite`, which says what the attributes mean."""

    __slots__ = (
        "_choices",
        "_ending",
        "_finished",
        "_held",
        "_identity",
        "_include_usage",
        "_line_bytes_max",
        "_lines",
        "_out",
        "_pending",
        "_pending_bytes",
        "_seen",
        "_swallow_blank",
        "_tail",
        "_unfinished",
        "created",
        "error",
        "finish_reason",
        "has_begun",
        "is_done",
        "is_finished",
        "is_over",
        "meter",
        "upstream_id",
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
        self.meter = meter
        self.created = created
        self.finish_reason = ""
        self.upstream_id = ""
        self.error = b""
        self.has_begun = False
        self.is_done = False
        self.is_finished = False
        self.is_over = False
        self._choices = choices
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        """Of several choices; of one it is enough to know that it has finished."""
        self._identity = identity
        self._include_usage = include_usage
        self._ending = Ending(identity, include_usage=include_usage)
        self._held = self._ending.held
        self._line_bytes_max = line_bytes_max
        self._lines = Lines(line_bytes_max)
        self._unfinished = self._lines.pieces
        self._out: list[bytes] = []
        self._pending: list[bytes] = []
        """Lines of an event that is not understood yet."""
        self._pending_bytes = 0
        self._tail = b""
        """How what went out ended, as far as it was not one plain event."""
        self._swallow_blank = False

    @property
    def is_complete(self) -> bool:
        """Whether the provider has ended the answer, and each choice of it."""
        return bool(self.finish_reason or self.is_done) and not self._is_cut_off

    @property
    def _is_cut_off(self) -> bool:
        """Whether a choice that began has no finish, though others have."""
        return bool(self._finished) and not self._seen <= self._finished

    def finish(self) -> bytes:
        """The provider's body ended, or is not waited for any longer: what is still to go out."""
        rest = self._lines.finish()
        if rest:
            self._take(rest)
        if not self.is_over:
            self._resolve(is_cut=bool(rest))
        if not (self.is_over or self.is_done):
            self._conclude()
        self.is_over = True
        self._close()
        return self._drain()

    def close(self) -> bytes:
        """What ends the event that went out last, if it lacks its end: to be put before an event of ours."""
        self._close()
        return self._drain()

    def cut(self) -> bytes:
        """The reserve is used up: the answer ends regularly, with its usage."""
        return self.close() + length_chunk(self._identity, self.meter.usage_json(), self.created, self._choices)

    def fail(self, refusal: Refusal) -> bytes:
        """The one event that says that the answer broke."""
        return self.close() + error_event(self._identity, refusal, self.created)

    def _drain(self) -> bytes:
        sent = b"".join(self._out)
        self._out.clear()
        if sent:
            self._tail = (self._tail + sent[-4:])[-4:]
        return sent

    def _close(self) -> None:
        out = self._out
        tail = self._tail + b"".join(out[-2:])
        if tail and not tail.endswith((b"\n\n", b"\n\r\n", b"\r\r")):
            out.append(b"\r" if tail.endswith(b"\r") else b"\n" if tail.endswith(b"\n") else b"\n\n")

    def _take(self, line: bytes) -> bool:
        """Whether it was a part of the answer."""
        if self.is_over:
            return False
        if line.startswith(BOM):
            line = line[len(BOM) :]
        payload = payload_of(line)
        if not payload:
            return self._take_framing(line)
        if payload.startswith(b"[DONE]"):
            self._resolve()
            if not self.is_over:
                self._take_done(line)
            return True
        if self.is_done:
            return False
        return self._take_payload(line, payload)

    def _take_done(self, line: bytes) -> None:
        if self.is_done:
            return
        self._forget()
        self._conclude(is_done=True)
        if self._is_cut_off:
            self.is_over = True
        else:
            self._out.append(line)
            self.is_done = True

    def _take_framing(self, line: bytes) -> bool:
        """Blank lines, comments, `event:` lines, `data:` with nothing in it."""
        is_blank = line in BLANK
        if not is_blank and (error := error_line(line)):
            self._end_with(error)
            return True
        had_pending = bool(self._pending)
        if is_blank and had_pending:
            self._resolve()
        if is_blank and self._swallow_blank:
            self._swallow_blank = False
        elif self._pending or is_error_name(line):
            self._wait_with(line)
        elif self._held and not self.is_done:
            self._held[-1].framing.append(line)
        elif not self.is_over:
            self._out.append(line)
        if is_blank and self.is_done:
            self.is_over = True
        return is_blank and had_pending

    def _wait_with(self, line: bytes) -> None:
        self._pending.append(line)
        self._pending_bytes += len(line)
        if self._pending_bytes > self._line_bytes_max:
            raise TooLong(f"an event of more than {self._line_bytes_max} bytes")

    def _take_payload(self, line: bytes, payload: bytes) -> bool:
        reading = read_object(payload)
        if reading is not None:
            return self._take_event(Chunk(line, payload, reading, []))
        parts = parted(payload)
        if not parts:
            self._wait_with(line)
            return True
        for part in parts[:-1]:
            self._take(b"data: %b\n" % part)
            self._take(b"\n")
        return self._take(line.replace(payload, parts[-1]))

    def _take_event(self, event: Chunk) -> bool:
        chunk = event.reading.chunk
        is_doubtful = not chunk.choices or chunk.has_error or chunk.choices_error
        if is_doubtful and (error := error_of(event.payload, event.reading, self._pending)):
            if self.has_begun and event.reading.usage:
                self.meter.observe_usage(event.reading.usage)
            self._end_with(error)
            return True
        if self._pending:
            self._pass_pending()
        return self._take_chunk(event)

    def _resolve(self, *, is_cut: bool = False) -> None:
        """The event whose lines wait has come to its end: it is one text, or passes as it came.

        What was cut off in the middle of a line is no event (SSE drops it, too): a client would fail on the half of a JSON text.
        """
        lines = self._pending
        payloads = [payload for payload in map(payload_of, lines) if payload]
        if any(map(is_error_name, lines)) and payloads:
            self._pending = []
            self._end_with(b" ".join(payloads))
        elif len(payloads) > 1 and (reading := read_object(text := b" ".join(payloads))) is not None:
            self._pending = [line for line in lines if not payload_of(line)]
            end = lines[-1][len(lines[-1].rstrip(b"\r\n")) :]
            self._take_event(Chunk(b"data: %b%b" % (text, end), text, reading, []))
        elif is_cut:
            self._pending = []
        else:
            self._pass_pending()

    def _pass_pending(self) -> None:
        lines, self._pending, self._pending_bytes = self._pending, [], 0
        payloads = [payload for payload in map(payload_of, lines) if payload]
        if payloads:
            self._release()
            self.has_begun = True
            self.meter.observe_unread(b"".join(payloads))
            names = {"id": self._identity.id_json, "model": self._identity.model_json}
            lines[0] = lines[0].replace(payloads[0], replace_leading(payloads[0], names), 1)
        (self._held[-1].framing if self._held else self._out).extend(lines)

    def _end_with(self, error: bytes) -> None:
        self._pending = [line for line in self._pending if not is_error_name(line)]
        self._pass_pending()
        self._forget()
        self.is_over = True
        if self.is_done or (self.is_finished and self.finish_reason != "error"):
            # Behind the finish there is nothing left to break but the provider's own goodbye.
            if not self.is_done:
                self._conclude()
            self._close()
            return
        self._release()
        self.error = error

    def _take_chunk(self, event: Chunk) -> bool:
        chunk, deltas = event.reading.chunk, self.meter.deltas
        usage = chunk.any_usage and event.reading.usage
        self._note(chunk)
        self.meter.observe_text(event.payload)
        if usage:
            self.meter.observe_usage(usage)
        if not chunk.choices and usage:
            self._ending.keep_usage(event)
            self._swallow_blank = True
            return True
        if (self._held or chunk.finish_reason) and self._ending.takes(event, has_text=self.meter.deltas > deltas):
            return bool(chunk.choices)
        self._release()
        is_plain = not usage and not chunk.finish_reason
        new_line = event.rewritten(self._identity, self.created, None if is_plain else NULL)
        self._out.append(new_line)
        if is_plain and self._choices == 1:
            self._learn(event, new_line)
        return bool(chunk.choices)

    def _learn(self, event: Chunk, new_line: bytes) -> None:
        """A plain chunk, and what became of it."""

    def _forget(self) -> None:
        """What was learned holds no longer."""

    def _note(self, chunk: ProviderChunk) -> None:
        if not self.upstream_id:
            self.upstream_id = chunk.upstream_id
        self.meter.tier = chunk.tier or self.meter.tier
        if isinstance(chunk.created, int) and chunk.created > 0:
            self.created = chunk.created
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.has_begun = self.has_begun or bool(chunk.choices)
        if self._choices == 1:
            self.is_finished = bool(self.finish_reason)
            return
        for choice in chunk.choices or ():
            self._seen.add(choice.place)
            if choice.finish_reason:
                self._finished.add(choice.place)
        self.is_finished = len(self._finished) >= self._choices

    def _release(self) -> None:
        """What was held back was not the end."""
        if self._held:
            self._out += self._ending.release(self.created)

    def _conclude(self, *, is_done: bool = False) -> None:
        """The stream ends: usage is final, and goes out if this is the end of the answer or the caller asked for it."""
        is_whole = (is_done or self.finish_reason) and not self._is_cut_off
        if not is_whole:
            self._release()
        if is_whole or self._include_usage:
            if self._include_usage or not self._held:
                self._close()
            self._out += self._ending.conclude(self.meter.usage_json(), self.created)
