"""Counts as Chat's usage object has them: what every other dialect's usage is translated to.

Rule: what a provider does not tell is not told here either, and its own total comes along: what is missing is worked out in one
place, `routing.dialects.counts`, so that an answer costs the same in whatever format it is asked for.
"""

from math import inf

import msgspec

from usage.record import COUNT_MAX


class ChatUsage(msgspec.Struct, gc=False):
    """Counts in Chat's sense: `prompt` includes what went through the cache, `completion` the reasoning; None: not told.

    `total` is the provider's own, which may have more than the two.
    """

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None
    cached: int = 0
    written: int = 0
    written_1h: int = 0
    reasoning: int = 0
    searches: int = 0
    audio: int = 0
    image: int = 0
    audio_out: int = 0
    image_out: int = 0

    @property
    def json(self) -> bytes:
        """Chat's usage object."""
        inputs = _parts(
            cached_tokens=self.cached, cache_write_tokens=self.written, audio_tokens=self.audio, image_tokens=self.image
        )
        if self.written_1h:
            split = b'{"ephemeral_5m_input_tokens":%d,"ephemeral_1h_input_tokens":%d}'
            inputs += b',"cache_write_tokens_details":' + split % (max(self.written - self.written_1h, 0), self.written_1h)
        outputs = _parts(reasoning_tokens=self.reasoning, audio_tokens=self.audio_out, image_tokens=self.image_out)
        tools = b',"server_tool_use":{"web_search_requests":%d}' % self.searches if self.searches else b""
        details = b'"prompt_tokens_details":{%b},"completion_tokens_details":{%b}%b}' % (inputs, outputs, tools)
        prompt, completion, total = self.prompt, self.completion, self.total
        if prompt is not None and completion is not None:
            told = prompt, completion, max(total or 0, prompt + completion)
            return b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,%b' % (*told, details)
        wholes = (("prompt", prompt), ("completion", completion), ("total", total))
        members = [b'"%b_tokens":%d,' % (name.encode(), number) for name, number in wholes if number is not None]
        return b"{" + b"".join(members) + details


def _parts(**counts: int) -> bytes:
    """The first always, the others where they are not 0."""
    names = list(counts)
    return b",".join([b'"%b":%d' % (name.encode(), counts[name]) for name in names if counts[name] or name == names[0]])


def told(number: object) -> int | None:
    """A count, at most COUNT_MAX, as `routing.dialects.claim` reads one; None for what is none."""
    if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number < inf:
        return int(min(number, COUNT_MAX))
    return None


def count(*numbers: object) -> int:
    """The first that is a count; 0 when none is."""
    for number in numbers:
        found = told(number)
        if found is not None:
            return found
    return 0
