"""OpenAI's legacy Completions: a prompt is gone on with. Base models and editors (fill in the middle) speak it.

Rule: `best_of` answers are billed, however few are sent; a prompt that is echoed is no answer.
Rule: without `max_tokens` OpenAI writes 16 tokens; we say so to every provider, so that what is held is what can come. 0 is asked
for with `echo`, to read the log probabilities of the prompt.
Source: OpenAI's API reference.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw

from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.request.envelope import Envelope, members_of, model_of
from routing.request.invalid import Invalid
from routing.request.names import words
from routing.request.options import read_options
from routing.rewrite.chat.completions import CompletionsStream
from routing.rewrite.identity import Identity
from routing.surfaces import Asked, CallerRequest, Machine, ProviderRequest
from routing.surfaces.json_request import body_for, capped, checked, checks, first_of, is_there, missing, priced, reported
from routing.surfaces.no_stream import error_response as error_response
from routing.surfaces.openai.chat import whole as whole
from routing.wire.members import Members

ANSWERS: Final[Literal["json", "bytes"]] = "json"
TOKENS_DEFAULT: Final = 16
PROMPTS_MAX: Final = 2_048
_CHECKS: Final = checks(
    ("stream", bool, "true or false"),
    ("max_tokens", Annotated[int, Meta(ge=0, le=2**53)], "a whole number of at least 0"),
    ("n", Annotated[int, Meta(ge=1, le=128)], "a whole number from 1 to 128"),
    ("best_of", Annotated[int, Meta(ge=1, le=20)], "a whole number from 1 to 20"),
    ("temperature", Annotated[float, Meta(ge=0, le=2)], "a number from 0 to 2"),
    ("top_p", Annotated[float, Meta(ge=0, le=1)], "a number from 0 to 1"),
    ("stop", str | Annotated[list[str], Meta(max_length=4)], "one string or a list of up to four strings"),
    ("echo", bool, "true or false"),
    ("stream_options", dict[str, Any], "an object such as {'include_usage': true}"),
)
_ORDINARY: Final = words(
    "model prompt suffix max_tokens stream stream_options n best_of echo logprobs stop temperature top_p presence_penalty "
    "frequency_penalty logit_bias seed user min_tokens top_k repetition_penalty"
)


def read(body: bytes, call: CallerRequest) -> Envelope:
    members = members_of(body)
    values = checked(members, _CHECKS)
    if not is_there(members, "prompt"):
        raise missing("prompt", "a text, a list of texts, or tokens")
    if first_of(members, "prompt") not in (b'"', b"["):
        raise Invalid("'prompt' must be a text, a list of texts, or tokens", "prompt")
    preferences = read_preferences(members)
    options = read_options(members, members.keys() - _ORDINARY)
    prompts = _prompts(members["prompt"])
    return Envelope(
        model=model_of(members, preferences),
        members=members,
        bytes_total=len(body),
        stream=values.get("stream", False),
        include_usage=values.get("stream_options", {}).get("include_usage") is True,
        max_tokens=values.get("max_tokens", TOKENS_DEFAULT),
        choices=max(values.get("n", 1), values.get("best_of", 1)) * prompts,
        prompt_bytes=len(members["prompt"]),
        options=priced(options),
        preferences=preferences,
        tier=options.tier,
        echoed_bytes=len(members["prompt"]) * values.get("n", 1) if values.get("echo") else 0,
    )


def _prompts(raw: Raw) -> int:
    """How many texts are asked to be gone on with: each is answered `n` times."""
    if bytes(memoryview(raw)[:1]) == b'"':
        return 1
    try:
        values = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise Invalid("'prompt' cannot be read", "prompt") from None
    if not values:
        raise Invalid("'prompt' must not be empty", "prompt")
    if isinstance(values[0], int):
        return 1
    if len(values) > PROMPTS_MAX:
        raise Invalid(f"'prompt' must not have more than {PROMPTS_MAX} entries: send them in several requests", "prompt")
    return len(values)


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    changes: Members = {} if is_there(envelope.members, "max_tokens") else {"max_tokens": Raw(b"%d" % TOKENS_DEFAULT)}
    changes |= capped(envelope, asked, "max_tokens")
    if envelope.stream and asked.has_stream_options:
        changes["stream_options"] = Raw(b'{"include_usage":true}')
    return ProviderRequest(body_for(envelope, asked, changes, ("stream_options",)), b"", reported(envelope))


def machine(identity: Identity, meter: Meter, envelope: Envelope, created: int, line_bytes_max: int) -> Machine:
    return CompletionsStream(
        identity,
        meter,
        include_usage=envelope.include_usage,
        created=created,
        line_bytes_max=line_bytes_max,
        choices=envelope.choices,
    )
