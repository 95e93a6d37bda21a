"""OpenAI's Image edits: pictures and a prompt in a form. The answer is that of `routing.surfaces.openai.images`.

Source: OpenAI's API reference.
"""

from typing import Final, Literal

from routing.request.envelope import Envelope
from routing.request.invalid import Invalid
from routing.surfaces import Asked, CallerRequest, ProviderRequest
from routing.surfaces.forms import count_in, flag_in, form_for, model_in
from routing.surfaces.no_stream import error_response as error_response
from routing.surfaces.openai.images import check_streamed
from routing.surfaces.openai.images import machine as machine
from routing.surfaces.openai.images import whole as whole
from routing.wire.multipart import read_form
from usage.record import Tokens

ANSWERS: Final[Literal["json", "bytes"]] = "json"
IMAGES_MAX: Final = 16


def read(body: bytes, call: CallerRequest) -> Envelope:
    form = read_form(body, call.header(b"content-type").decode("latin-1"))
    files = [part for part in form.parts if part.filename is not None]
    given = [part for part in files if part.name in ("image", "image[]")]
    if not 0 < len(given) <= IMAGES_MAX:
        raise Invalid(f"'image' must be there from 1 to {IMAGES_MAX} times, as a file", "image")
    images, stream = count_in(form, "n", 10), flag_in(form, "stream")
    check_streamed(images, stream)
    return Envelope(
        model=model_in(form),
        members={},
        bytes_total=len(body),
        stream=stream,
        choices=images,
        prompt_bytes=len(form.text("prompt") or "") + sum(len(part.content) for part in files),
        inline_media=tuple(len(part.content) for part in files),
        pieces=Tokens(images=images),
        form=form,
        content_type=form.content_type,
    )


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    return form_for(envelope, asked)
