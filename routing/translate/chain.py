"""A translated stream as the relay drives it: provider's format → Chat → Chat with our names and usage → the caller's format.

Rule: Chat's stream rewrite in the middle is the one judge: what it says of the end, of errors and of what was counted holds for
the chain. Either translator may be absent; without both it is that rewrite.
"""

from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.rewrite.answer import Identity, error_event, length_chunk
from routing.rewrite.stream import StreamRewrite
from routing.translate import DownstreamMachine, UpstreamMachine


class Chain:
    """One stream; the members are those of StreamRewrite.

    With a `downstream` translator, which tells the usage in its own place, the `rewrite` is one that includes usage.
    """

    __slots__ = ("_choices", "_downstream", "_identity", "_rewrite", "_upstream", "is_framing", "is_notable")

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
        """There is no way shorter than `scan`."""
        return b""

    def feed(self, data: bytes) -> bytes:
        return self.scan(data)

    def scan(self, data: bytes) -> bytes:
        """What goes to the caller of what the provider sent; sets `is_framing` and `is_notable` as StreamRewrite does."""
        upstream, rewrite, downstream = self._upstream, self._rewrite, self._downstream
        if upstream is not None:
            data = upstream.feed(data)
            if not data:
                self.is_framing = upstream.is_framing
                self.is_notable = self.is_notable or upstream.is_framing
                return b""
        sent = rewrite.swap(data)
        if not sent:
            sent = rewrite.scan(data)
            self.is_framing = rewrite.is_framing
            if rewrite.is_notable:
                self.is_notable, rewrite.is_notable = True, False
        if downstream is None:
            return sent
        return downstream.feed(sent) if sent else b""

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
