"""What the surfaces with a form share: fields, files, and the form that goes on with the provider's name of the model."""

import re
from typing import Final

from routing.request.envelope import Envelope
from routing.request.invalid import Invalid
from routing.surfaces import Asked, ProviderRequest
from routing.wire.multipart import Form, FormPart, written

_TRUE: Final = ("true", "1", "True")
_FALSE: Final = ("false", "0", "False", "")
_WHOLE: Final = re.compile(r"[1-9][0-9]{0,3}\Z")


def model_in(form: Form) -> str:
    """The model that a form asks for. Invalid."""
    model = form.text("model")
    if not model:
        raise Invalid("'model' is missing: name one as 'provider/model'", "model", "missing_required_parameter")
    return model


def flag_in(form: Form, name: str) -> bool:
    """A field that is true or false. Invalid."""
    text = form.text(name)
    if text is not None and text not in (*_TRUE, *_FALSE):
        raise Invalid(f"'{name}' must be true or false", name)
    return text in _TRUE


def count_in(form: Form, name: str, most: int) -> int:
    """A field that is a count, 1 when it is not there. Invalid."""
    text = form.text(name)
    if text is None:
        return 1
    if not _WHOLE.match(text) or int(text) > most:
        raise Invalid(f"'{name}' must be a whole number from 1 to {most}", name)
    return int(text)


def form_for(envelope: Envelope, asked: Asked) -> ProviderRequest:
    """The form with the provider's name of the model, every other part as it came."""
    form: Form = envelope.form
    parts: list[FormPart] = []
    for part in form.parts:
        if part.name != "model":
            parts.append(part)
        elif not asked.endpoint.has_model_in_path:
            parts.append(part._replace(content=memoryview(asked.model.name.encode())))
    return ProviderRequest(written(form, parts), b"content-type: %b\r\n" % form.content_type.encode() + asked.endpoint.head)
