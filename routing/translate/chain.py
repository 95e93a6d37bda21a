"""A translated stream as the relay drives it: provider's format → Chat → Chat with our names and usage → the caller's format.

Rule: Chat's stream rewrite in the middle is the one judge: what it says of the end, of errors and of what was counted holds for
the chain. Either translator may be absent; without both it is that rewrite.
Strategy: once an event has gone the short way through each of them, others that are like it but for their text go one short way
through all: the text is taken out of the provider's event, counted, and put into the caller's.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.rewrite.chat.answer import error_event, length_chunk
from routing.rewrite.chat.stream import StreamRewrite
from routing.rewrite.identity import Identity
from routing.translate import DownstreamMachine, UpstreamMachine
from routing.translate.frames import Frame, Framed, is_one_event, learned, sent_around, text_in


class _Short(NamedTuple):
    """`read`: the text of one more event like the last, None of any other. `write`: the caller's event with that text. `times`:
    how often the meter counts the text."""

    read: Callable[[bytes], bytes | None]
    write: Callable[[bytes], bytes]
    times: int


class Chain:
    """One stream; the members are those of StreamRewrite.

    With a `downstream` translator, which tells the usage in its own place, the `rewrite` is one that includes usage.
    """

    __slots__ = ("_choices", "_downstream", "_identity", "_rewrite", "_short", "_upstream", "is_framing", "is_notable")

    def __init__(
        self,
        identity: Identity,
        rewrite: StreamRewrite,
        upstream: UpstreamMachine | None,
        downstream: DownstreamMachine | None,
        choices: int = 1,
    ) -> None:
        self._identity = identity
        self._rewrite = rewrite
        self._upstream = upstream
        self._downstream = downstream
        self._choices = choices
        self._short: _Short | None = None
        self.is_framing = False
        self.is_notable = False

    @property
    def meter(self) -> Meter:
        return self._rewrite.meter

    @property
    def created(self) -> int:
        return self._rewrite.created

    @property
    def upstream_id(self) -> str:
        return self._rewrite.upstream_id

    @property
    def finish_reason(self) -> str:
        return self._rewrite.finish_reason

    @property
    def error(self) -> bytes:
        return self._rewrite.error

    @property
    def has_begun(self) -> bool:
        return self._rewrite.has_begun

    @property
    def is_done(self) -> bool:
        return self._rewrite.is_done

    @property
    def is_finished(self) -> bool:
        return self._rewrite.is_finished

    @property
    def is_over(self) -> bool:
        return self._rewrite.is_over

    @property
    def is_complete(self) -> bool:
        return self._rewrite.is_complete

    @property
    def is_at_boundary(self) -> bool:
        """Translators return whole events, so with one behind it there is no half event at the caller."""
        return self._downstream is not None or self._rewrite.is_at_boundary

    def swap(self, data: bytes) -> bytes:
        """`feed` for one event that is like the last one but for its text; nothing, and nothing done, for anything else."""
        short = self._short
        if short is not None and (text := short.read(data)) is not None:
            meter = self._rewrite.meter
            meter.deltas += 1
            meter.text_bytes += len(text) * short.times
            return short.write(text)
        return b""

    def feed(self, data: bytes) -> bytes:
        return self.swap(data) or self.scan(data)

    def scan(self, data: bytes) -> bytes:
        """What goes to the caller of what the provider sent; sets `is_framing` and `is_notable` as StreamRewrite does."""
        upstream, rewrite, downstream = self._upstream, self._rewrite, self._downstream
        frames = self._frames
        self._short = None
        chat = data
        if upstream is not None:
            chat = upstream.feed(data)
            if not chat:
                self.is_framing = upstream.is_framing
                self.is_notable = self.is_notable or upstream.is_framing
                return b""
        deltas, text_bytes = rewrite.meter.deltas, rewrite.meter.text_bytes
        is_passed = True
        named = rewrite.swap(chat)
        if not named:
            named = rewrite.scan(chat)
            self.is_framing = rewrite.is_framing
            if rewrite.is_notable:
                self.is_notable, rewrite.is_notable = True, False
            is_passed = rewrite.passes(chat, named)
        sent = named
        if downstream is not None:
            sent = downstream.feed(named) if named else b""
        if rewrite.is_over and not rewrite.is_done and downstream is not None and rewrite.is_complete and not rewrite.error:
            # What broke behind the finish: nobody will say that this is the end.
            sent += downstream.finish()
        if is_passed and self._frames == frames and rewrite.meter.deltas == deltas + 1:
            self._learn(data, named, sent, rewrite.meter.text_bytes - text_bytes)
        return sent

    @property
    def _frames(self) -> tuple[Frame | None, Frame | None]:
        """Those of the translators that have a short way."""
        upstream, downstream = self._upstream, self._downstream
        return (
            upstream.frame if isinstance(upstream, Framed) else None,
            downstream.frame if isinstance(downstream, Framed) else None,
        )

    def _learn(self, data: bytes, named: bytes, sent: bytes, text_bytes: int) -> None:
        """From an event that has just gone the short way: through the translators, whose frames were known before it, and between
        them."""
        upstream, downstream = self._upstream, self._downstream
        read: Callable[[bytes], bytes | None]
        if isinstance(upstream, Framed):
            text, read = upstream.text_in(data), upstream.text_in
        elif upstream is None and isinstance(downstream, Framed) and is_one_event(data):
            text = downstream.text_in(named)
            literal = b'"%b"' % (text or b"")
            frame = learned(data, literal, literal)
            if frame is None:
                return
            read = partial(text_in, frame)
        else:
            return
        if text is None or len(text) < 2 or text_bytes % len(text):
            return
        if isinstance(downstream, Framed):
            self._short = _Short(read, downstream.said, text_bytes // len(text)) if downstream.frame is not None else None
        elif downstream is None and (around := sent_around(b'"%b"' % text, sent)) is not None:
            self._short = _Short(read, lambda text: text.join(around), text_bytes // len(text))

    def finish(self) -> bytes:
        """The provider's body ended, or is not waited for any longer."""
        sent = b""
        if self._upstream is not None:
            rest = self._upstream.finish()
            if rest:
                sent += self._rewrite.feed(rest)
        sent += self._rewrite.finish()
        if self._downstream is None:
            return sent
        sent = self._downstream.feed(sent)
        return sent + self._downstream.finish() if self._rewrite.is_complete and not self._rewrite.error else sent

    def close(self) -> bytes:
        return b"" if self._downstream is not None else self._rewrite.close()

    def cut(self) -> bytes:
        """The reserve is used up: the answer ends regularly, with its usage."""
        rewrite = self._rewrite
        chunk = rewrite.close() + length_chunk(self._identity, rewrite.meter.usage_json(), rewrite.created, self._choices)
        return chunk if self._downstream is None else self._downstream.feed(chunk) + self._downstream.finish()

    def fail(self, refusal: Refusal) -> bytes:
        """The one event that says that the answer broke."""
        rewrite = self._rewrite
        if self._downstream is not None:
            return self._downstream.fail(refusal, rewrite.meter.usage_json())
        return rewrite.close() + error_event(self._identity, refusal, rewrite.created)
