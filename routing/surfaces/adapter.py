"""How a request of one surface is served by one target: as it came, or through one translator on each side of Chat.

Rule: where the target offers the caller's own format, the bytes pass. Else the surface is told in Chat, and Chat in what the
target offers; where a translator for either half is missing, the target is not offered on that surface, and the refusal says on
which it is.
Rule: a translated request is read again as the Chat request that it is, so every rule about prices and state holds for it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, cast

import msgspec

from routing.failures.provider_error import no_answer
from routing.metering.meter import Meter
from routing.plan.fit import fit, is_billable
from routing.plan.refusal import Refusal
from routing.request.body import rewrite
from routing.request.envelope import Envelope, Invalid
from routing.request.envelope import read as read_chat
from routing.rewrite.chat.answer import dressed, open_answer, rewrite_answer
from routing.rewrite.chat.reshape import events_of
from routing.rewrite.chat.stream import StreamRewrite
from routing.rewrite.identity import Identity
from routing.surfaces import Asked, Entry, Machine, ProviderRequest, Surface, Whole, surface_of
from routing.surfaces.json_request import placed, reported, with_path
from routing.surfaces.openai.chat import machine as chat_machine
from routing.table.endpoint import Endpoint
from routing.table.provider import Model, Provider
from routing.translate import HUB, Context, DownstreamPair, Target, UpstreamPair, callers_path, downstream_pair, upstream_pair
from routing.wire.members import Members
from routing.wire.sse import events_of_whole
from usage.flavor import Flavor

_encode: Final = msgspec.json.encode


class AdapterMemo(NamedTuple):
    """What the translators of an answer need of its request; `completed`: `ProviderRequest`'s, where the bytes pass."""

    upstream: Any = None
    downstream: Any = None
    completed: Callable[[bytes, Identity], bytes] | None = None


class Adapter(msgspec.Struct, frozen=True, eq=False):
    """`upstream`: Chat on the endpoint's format; `downstream`: the surface on Chat; both None where the bytes pass."""

    surface: Surface
    endpoint: Endpoint
    upstream: UpstreamPair | None = None
    downstream: DownstreamPair | None = None
    id_header: bytes = b""
    """Under which name the caller's SDK reads the request's id, beside ours."""

    @property
    def is_translated(self) -> bool:
        return self.upstream is not None or self.downstream is not None

    def request(self, envelope: Envelope, asked: Asked) -> tuple[ProviderRequest, AdapterMemo]:
        """What goes to the provider. Invalid: the target cannot be asked for this. Calling it again gives the same."""
        if self.upstream is None and self.downstream is None:
            sent = self.surface.request(envelope, asked)
            # A surface that passes on the caller's word for a header has it instead of the endpoint's own.
            memo_of_passed = NO_MEMO if sent.completed is None else AdapterMemo(completed=sent.completed)
            return sent if sent.head or not asked.endpoint.headers else sent._replace(head=asked.endpoint.head), memo_of_passed
        ignored: list[str] = [*asked.fit.ignored, *reported(envelope)]
        downstream_memo = None
        if self.downstream is not None:
            said = self.downstream.request(
                _encode(with_path(envelope)), self._target(envelope, asked, is_last=self.upstream is None)
            )
            ignored += said.ignored
            downstream_memo = said.memo
            try:
                body, more, memo = self._on_chat(read_chat(said.body), asked)
            except Invalid as problem:
                raise _renamed(problem, self.downstream.PATHS, envelope.members) from None
            ignored += [callers_path(path, self.downstream.PATHS, envelope.members) for path in more]
        else:
            body, more, memo = self._sent(envelope, asked)
            ignored += more
        return ProviderRequest(body, asked.endpoint.head, tuple(dict.fromkeys(ignored))), AdapterMemo(memo, downstream_memo)

    def _on_chat(self, envelope: Envelope, asked: Asked) -> tuple[list[bytes | memoryview], tuple[str, ...], Any]:
        """`_sent`, of the Chat request that another format's became: the rules about prices and state hold for it."""
        judge = fit if self.upstream is None else is_billable
        fitted = judge(envelope, asked.provider, asked.model)
        if isinstance(fitted, Refusal):
            raise Invalid(fitted.message, fitted.param, fitted.code)
        body, ignored, memo = self._sent(envelope, asked._replace(fit=fitted))
        return body, (*fitted.ignored, *reported(envelope), *ignored), memo

    def _sent(self, envelope: Envelope, asked: Asked) -> tuple[list[bytes | memoryview], tuple[str, ...], Any]:
        """(the body for the provider of a Chat request, paths of what was left out, the memo of its answer). Invalid."""
        model = asked.model
        body = rewrite(
            envelope,
            model.name,
            cap=asked.cap,
            cap_max=model.max_output_tokens,
            cap_field="as_sent" if self.upstream is not None else model.max_tokens_field or asked.provider.max_tokens_field,
            has_stream_options=asked.has_stream_options and self.upstream is None,
            fit=asked.fit,
        )
        if self.upstream is None:
            return body, (), None
        translated = self.upstream.request(b"".join(body), self._target(envelope, asked, is_last=True))
        return placed([translated.body], asked.endpoint), translated.ignored, translated.memo

    def _target(self, envelope: Envelope, asked: Asked, *, is_last: bool) -> Target:
        return Target(
            provider=asked.provider.name,
            model=asked.model.name,
            max_output_tokens=asked.model.max_output_tokens,
            fetches_urls=asked.endpoint.fetches_urls,
            traits=asked.model.traits if is_last else HUB,
            requires_parameters=envelope.requires_parameters,
        )

    def machine(
        self, identity: Identity, meter: Meter, envelope: Envelope, memo: AdapterMemo, created: int, line_bytes_max: int
    ) -> Machine:
        """What a stream goes through."""
        if self.upstream is None and self.downstream is None:
            return self.surface.machine(identity, meter, envelope, created, line_bytes_max)
        from routing.translate.chain import Chain

        names = self._within(identity)
        tells_usage = envelope.include_usage or self.downstream is not None
        rewritten = StreamRewrite(
            names, meter, include_usage=tells_usage, created=created, line_bytes_max=line_bytes_max, choices=envelope.choices
        )
        context = Context(identity.gen_id, identity.model, created, meter.prompt_estimate, line_bytes_max=line_bytes_max)
        return Chain(
            names,
            rewritten,
            None if self.upstream is None else self.upstream.machine(_with(context, memo.upstream)),
            None if self.downstream is None else self.downstream.machine(_with(context, memo.downstream)),
            envelope.choices,
        )

    def whole(self, body: bytes, identity: Identity, meter: Meter, memo: AdapterMemo, content_type: str) -> Whole:
        """A whole answer. AttemptFailed."""
        if self.upstream is None and self.downstream is None:
            passed = self.surface.whole(body, identity, meter, content_type)
            return passed if memo.completed is None else passed._replace(body=memo.completed(passed.body, identity))
        context = Context(identity.gen_id, identity.model, identity.created_s, meter.prompt_estimate)
        if self.upstream is not None:
            body = self.upstream.whole(body, _with(context, memo.upstream))
        reading = open_answer(body)
        answer = rewrite_answer(body, reading, self._within(identity), meter)
        if self.downstream is not None:
            answer = self.downstream.whole(answer, _with(context, memo.downstream))
        return Whole(answer, reading.chunk.finish_reason, reading.chunk.upstream_id)

    def streamed(self, body: bytes, identity: Identity, meter: Meter, memo: AdapterMemo) -> tuple["Adapter", bytes]:
        """A whole answer where a stream was asked for: who goes on with it, and the stream that says the same. AttemptFailed."""
        if self.is_passed and self.endpoint.format in EVENTS_ARE_ANSWERS:
            return self, events_of_whole(body)
        through = self._through_hub()
        if through.upstream is not None:
            context = Context(identity.gen_id, identity.model, identity.created_s, memo=memo.upstream)
            body = through.upstream.whole(body, context)
        return msgspec.structs.replace(through, upstream=None), events_of(body, open_answer(body))

    def assembler(
        self, identity: Identity, meter: Meter, envelope: Envelope, memo: AdapterMemo, created: int, line_bytes_max: int
    ) -> Machine:
        """For a stream where a whole answer was asked for: it makes Chat of it. AttemptFailed."""
        plain = Identity(identity.gen_id, identity.model, Flavor.OPENAI, identity.provider, identity.created_s)
        hub = msgspec.structs.replace(self._through_hub(), downstream=None)
        envelope = msgspec.structs.replace(envelope, include_usage=True)
        if hub.upstream is None:
            return chat_machine(plain, meter, envelope, created, line_bytes_max)
        return hub.machine(plain, meter, envelope, memo, created, line_bytes_max)

    def assembled(self, chat: bytes, identity: Identity, meter: Meter, memo: AdapterMemo) -> bytes:
        """The whole answer of what an assembler made."""
        through = self._through_hub()
        answer = dressed(chat, open_answer(chat), through._within(identity), meter)
        if through.downstream is None:
            return answer
        context = Context(identity.gen_id, identity.model, identity.created_s, meter.prompt_estimate)
        return through.downstream.whole(answer, _with(context, memo.downstream))

    def _through_hub(self) -> "Adapter":
        """Who reads an answer in another shape than it was asked for. One that would pass is told in Chat and in its own format
        again: it was paid for, and what Chat has no place for is lost rather than all. AttemptFailed: no translators for that."""
        if not self.is_passed:
            return self
        upstream, downstream = upstream_pair(self.endpoint.format), downstream_pair(self.endpoint.format)
        if upstream is None or downstream is None:
            raise no_answer("in another shape")
        return msgspec.structs.replace(self, upstream=upstream, downstream=downstream)

    @property
    def answers_bytes(self) -> bool:
        """Whether a whole answer may be no JSON, such as a sound."""
        return self.surface.ANSWERS == "bytes"

    @property
    def is_passed(self) -> bool:
        """Whether the bytes pass, in another format than Chat."""
        return self.upstream is None and self.downstream is None and self.endpoint.format != "chat"

    def _within(self, identity: Identity) -> Identity:
        """A translator to the caller's format reads OpenAI's flavour of Chat."""
        if self.downstream is None or identity.flavor is Flavor.OPENAI:
            return identity
        return Identity(identity.gen_id, identity.model, Flavor.OPENAI, identity.provider, identity.created_s)


NO_MEMO: Final = AdapterMemo()
EVENTS_ARE_ANSWERS: Final = frozenset(("gemini", "completions"))  # each event is an answer with a part of the text


def _renamed(problem: Invalid, paths: Mapping[str, str], said: Members) -> Invalid:
    """What is wrong with a Chat request, said of the request that it was made of."""
    param = None if problem.param is None else callers_path(problem.param, paths, said)
    return Invalid(problem.message.replace(f"'{problem.param}'", f"'{param}'"), param, problem.code)


def _with(context: Context, memo: Any) -> Context:
    return context if memo is None else msgspec.structs.replace(context, memo=memo)


def adapter_of(entry: Entry, provider: Provider, model: Model) -> Adapter | None:
    """How a model is served on a surface; None when it is not."""
    direct = provider.endpoint_of(model, entry.format)
    if direct is not None:
        return Adapter(surface_of(entry), direct, None, None, entry.id_header)
    downstream = None if entry.format == "chat" else downstream_pair(cast(Any, entry.format))
    if downstream is None and entry.format != "chat":
        return None
    for endpoint in provider.endpoints_of(model):
        if endpoint.format == "chat":
            return Adapter(surface_of(entry), endpoint, None, downstream, entry.id_header)
        upstream = upstream_pair(cast(Any, endpoint.format))
        if upstream is not None:
            return Adapter(surface_of(entry), endpoint, upstream, downstream, entry.id_header)
    return None
