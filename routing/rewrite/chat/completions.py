"""The stream of legacy Completions: Chat's rules, another shape of the last chunk."""

from routing.rewrite.chat.stream import StreamRewrite


class CompletionsStream(StreamRewrite):
    """One stream."""

    __slots__ = ()

    def cut(self) -> bytes:
        """The reserve is used up: each choice ends with what it has, and the usage is told."""
        identity = self._identity
        choices = b",".join(
            b'{"index":%d,"text":"","logprobs":null,"finish_reason":"length"}' % at for at in range(self._choices)
        )
        event = b'data: {"id":%b,"object":"text_completion","created":%d,"model":%b,"choices":[%b],"usage":%b%b}\n\n'
        told = identity.id_json, self.created, identity.model_json, choices, self.meter.usage_json(), b',"ended_by":"credit"'
        return self.close() + event % told
