"""The streams of images, speech and transcriptions, passed on: one last event tells the usage and ends the answer.

Rule: the last event goes out with our cost in it; everything before it is the provider's. There is nothing to end regularly when
credit is used up but the stream itself, so that is told as an error event.
Source: OpenAI's references (images, audio); recorded streams.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.metering.meter import Meter
from routing.metering.picture_usage import picture_usage
from routing.plan.refusal import Refusal
from routing.rewrite.cost import usage_with_cost
from routing.rewrite.named_events import NULL, NamedEvents
from routing.rewrite.plain import observe
from routing.wire.members import REFUSED, replace
from routing.wire.repair import readable
from usage.flavor import Flavor

ENDS: Final = frozenset(("image_generation.completed", "image_edit.completed", "speech.audio.done", "transcript.text.done"))
_CUT: Final = Refusal(402, "insufficient_credits", "the credit that was held for this answer is used up")


class _Usage(msgspec.Struct, gc=False):
    seconds: Any = None


_decode_usage: Final = msgspec.json.Decoder(_Usage).decode


def observe_usage(usage: Raw | None, meter: Meter) -> None:
    """Tokens, or the seconds of a sound."""
    text = bytes(usage or NULL)
    if text == b"null":
        return
    try:
        seconds = _decode_usage(text).seconds
    except REFUSED:
        return
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        meter.observe_pieces(seconds=-int(-seconds // 1))
    else:
        observe(usage, meter, writes=True)


class MediaEvents(NamedEvents):
    """One stream."""

    PARTS = frozenset(("transcript.text.delta",))
    QUIET = frozenset(("keepalive",))

    def _take(self, kind: str, payload: bytes) -> bytes | None:
        if kind in self.PARTS:
            self.has_begun = True
            self._count(payload)
            return None
        if payload.startswith(b"[DONE]"):
            return None
        try:
            _, members = readable(payload)
        except REFUSED:
            return self._end_with(payload) if kind == "error" else None
        error = bytes(members.get("error", NULL))
        if kind == "error" or error != b"null":
            return self._end_with(error if error != b"null" else payload)
        self.has_begun = self.has_begun or kind not in self.QUIET
        if kind not in ENDS:
            return None
        observe_usage(members.get("usage"), self.meter)
        self.finish_reason = "stop"
        self.is_done = self.is_finished = self.is_over = True
        tokens = self.meter.bill().tokens
        counts = {"input_tokens": tokens.prompt, "output_tokens": tokens.completion, "total_tokens": tokens.total}
        values = {"usage": (usage := usage_with_cost(members.get("usage"), self.meter, counts))}
        if kind.startswith("image") and self._identity.flavor is Flavor.OPENROUTER:
            told = members.get("created_at", NULL)
            made_at = Raw(b"%d" % self.created) if bytes(told) == b"null" else told
            values = {"usage": picture_usage(usage, tokens.prompt, tokens.completion), "created": made_at}
        return replace(payload, members, values)

    def cut(self) -> bytes:
        """See `Machine`."""
        return self.fail(_CUT)

    def fail(self, refusal: Refusal) -> bytes:
        """See `Machine`."""
        body = refusal.body(Flavor.OPENAI)
        return self._drain() + b'event: error\ndata: {"type":"error",%b\n\n' % body[1:]
