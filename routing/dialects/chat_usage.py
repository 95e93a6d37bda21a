"""Counts as Chat's usage object has them: what every other dialect's usage is translated to."""

import msgspec


class ChatUsage(msgspec.Struct, gc=False):
    """Counts in Chat's sense: `prompt` includes what went through the cache, `completion` the reasoning."""

    prompt: int = 0
    completion: int = 0
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
        total = self.prompt + self.completion
        return (
            b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
            b'"prompt_tokens_details":{%b},"completion_tokens_details":{%b}%b}'
            % (self.prompt, self.completion, total, inputs, outputs, tools)
        )


def _parts(**counts: int) -> bytes:
    """The first always, the others where they are not 0."""
    names = list(counts)
    return b",".join([b'"%b":%d' % (name.encode(), counts[name]) for name in names if counts[name] or name == names[0]])


def count(*numbers: object) -> int:
    """The first that is a count; 0 when none is. Counts beyond 2**40 are none."""
    for number in numbers:
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**40:
            return number
    return 0
