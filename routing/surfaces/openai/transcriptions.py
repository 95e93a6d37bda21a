"""OpenAI's Transcriptions and Translations: a sound in a form (or in JSON, OpenRouter's); a text as JSON, plainly or as events.

Rule: a second of sound is priced, or its tokens, as the model's entry says. What the provider tells (seconds or tokens) decides,
else its `duration`, else how long the sound lasts by its own head. Source: OpenAI's and Groq's API references.
"""

from typing import Any, Final, Literal

import msgspec

from routing.failures.provider_error import no_answer
from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.request.envelope import Envelope
from routing.request.invalid import Invalid
from routing.request.sound_request import form_of, is_json
from routing.rewrite.identity import Identity
from routing.rewrite.media_events import MediaEvents, observe_usage
from routing.rewrite.plain import dressed, id_of, opened
from routing.surfaces import Asked, CallerRequest, Machine, ProviderRequest, Whole
from routing.surfaces.forms import flag_in, form_for, model_in
from routing.surfaces.json_request import reported
from routing.surfaces.no_stream import error_response as error_response
from routing.wire.lenient_view import view
from routing.wire.members import Members
from routing.wire.multipart import read_form
from routing.wire.sound import seconds_likely, seconds_max
from usage.record import Tokens

ANSWERS: Final[Literal["json", "bytes"]] = "bytes"
_FORMATS: Final = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")


class _Answer(msgspec.Struct, gc=False):
    text: Any = None
    duration: Any = None


_decode: Final = msgspec.json.Decoder(_Answer).decode


def read(body: bytes, call: CallerRequest) -> Envelope:
    own: Members = {}
    if is_json(kind := call.header(b"content-type")):
        form, own = form_of(body)
    else:
        form = read_form(body, kind.decode("latin-1"))
    file = form.one("file")
    if file is None or file.filename is None or not file.content:
        raise Invalid("'file' is missing: send the sound as a file", "file", "missing_required_parameter")
    shape = form.text("response_format")
    if shape is not None and shape not in _FORMATS:
        raise Invalid(f"'response_format' must be one of {', '.join(_FORMATS)}", "response_format")
    prompt = form.text("prompt") or ""
    return Envelope(
        model=model_in(form),
        members=own,
        bytes_total=len(body),
        stream=flag_in(form, "stream"),
        prompt_bytes=len(prompt) + len(file.content),
        inline_media=(len(file.content),),
        pieces=Tokens(seconds=seconds_max(file.content)),
        pieces_likely=Tokens(seconds=seconds_likely(file.content)),
        preferences=read_preferences(own),
        form=form,
        content_type=form.content_type,
    )


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    ignored = [name for name in envelope.members if name not in ("provider", "models")]
    return form_for(envelope, asked)._replace(ignored=(*ignored, *reported(envelope)))


def machine(identity: Identity, meter: Meter, envelope: Envelope, created: int, line_bytes_max: int) -> Machine:
    return MediaEvents(identity, meter, created=created, line_bytes_max=line_bytes_max)


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    if not body:
        raise no_answer("no text")
    if body[:1] != b"{":
        meter.deltas += 1
        meter.text_bytes += len(body)
        return Whole(body, "", "", content_type or "text/plain; charset=utf-8")
    members = opened(body, "text", "segments")
    answer = view(body, _Answer, _decode) or _Answer()
    if isinstance(answer.text, str):
        meter.deltas += 1
        meter.text_bytes += len(answer.text)
    observe_usage(members.get("usage"), meter)
    if not meter.has_usage and isinstance(answer.duration, int | float) and "usage" not in members:
        meter.observe_pieces(seconds=-int(-answer.duration // 1))
    return Whole(dressed(body, members, identity, meter), "", id_of(members))
