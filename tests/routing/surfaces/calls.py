"""One call on each surface: what its clients send at least, where, and who is asked for it."""

import json
from typing import Any

from routing.metering.meter import Meter
from routing.request.envelope import Envelope
from routing.rewrite.identity import Identity
from routing.surfaces import SURFACES, Asked, CallerRequest, Surface, surface_of
from routing.table.endpoint import BaseUrl, Endpoint, endpoint
from routing.table.provider import Model, Provider
from routing.table.tariff import Tariff
from usage.flavor import Flavor
from usage.record import Rates

ENTRIES = {entry.format: entry for entry in SURFACES}
MODEL = "p/m"
TURN = {"role": "user", "content": "hi"}
CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]
BODIES: dict[str, dict[str, Any]] = {
    "chat": {"model": MODEL, "messages": [TURN]},
    "messages": {"model": MODEL, "messages": [TURN], "max_tokens": 9},
    "count_tokens": {"model": MODEL, "messages": [TURN]},
    "responses": {"model": MODEL, "input": "hi"},
    "embeddings": {"model": MODEL, "input": "hi"},
    "completions": {"model": MODEL, "prompt": "hi"},
    "moderations": {"model": MODEL, "input": "hi"},
    "rerank": {"model": MODEL, "query": "q", "documents": ["a", "b"]},
    "images": {"model": MODEL, "prompt": "a cat"},
    "speech": {"model": MODEL, "input": "hi", "voice": "alloy"},
    "gemini": {"contents": CONTENTS},
    "gemini_count_tokens": {"contents": CONTENTS},
    "gemini_embeddings": {"content": {"parts": [{"text": "hi"}]}},
    "gemini_batch_embeddings": {"requests": [{"model": f"models/{MODEL}", "content": {"parts": [{"text": "hi"}]}}]},
    "cohere": {"model": MODEL, "messages": [TURN]},
    "cohere_embeddings": {"model": MODEL, "texts": ["hi"], "input_type": "search_query"},
}
"""The smallest request of each surface whose requests are JSON."""
BY_PATH = tuple(format for format in BODIES if format.startswith("gemini"))
BY_MEMBER = tuple(format for format in BODIES if format not in BY_PATH)
FORMS = ("image_edits", "transcriptions", "translations")
RATES = Rates(input=150_000, output=600_000)


def anything(*values: Any) -> tuple[Any, ...]:
    """Values of many kinds."""
    return values


def surface(format: str) -> Surface:
    return surface_of(ENTRIES[format])


def call(format: str, *headers: tuple[bytes, bytes], action: int = 0, query: bytes = b"alt=sse") -> CallerRequest:
    """`action`: which of its paths is called."""
    path = ENTRIES[format].paths[action].replace("{model:path}", MODEL)
    return CallerRequest(ENTRIES[format].bases[0] + path, list(headers), query)


def body_of(format: str, **members: Any) -> bytes:
    return json.dumps({**BODIES[format], **members}).encode()


def read(format: str, **members: Any) -> Envelope:
    """The envelope of the smallest request with those members put over it."""
    return surface(format).read(body_of(format, **members), call(format))


def without(format: str, *names: str) -> bytes:
    return json.dumps({name: value for name, value in BODIES[format].items() if name not in names}).encode()


def form(boundary: bytes = b"b", **fields: Any) -> tuple[bytes, tuple[bytes, bytes]]:
    """(body, content-type) of a form: texts, and files as bytes; a list stands for a field that is there so often."""
    out = b""
    for name, given in fields.items():
        for value in given if isinstance(given, list) else [given]:
            file = b'; filename="f.bin"' if isinstance(value, bytes) else b""
            content = value if isinstance(value, bytes) else str(value).encode()
            key = name.replace("_list", "[]").encode()
            out += b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (boundary, key, file, content)
    return out + b"--%b--\r\n" % boundary, (b"content-type", b"multipart/form-data; boundary=%b" % boundary)


def read_form(format: str, **fields: Any) -> Envelope:
    body, kind = form(**fields)
    return surface(format).read(body, call(format, kind))


PROVIDER = Provider("p", BaseUrl("https", "p.test", 443))
OWN = Model(MODEL, "own-m", Tariff(RATES))


def asked(format: str, **changes: Any) -> Asked:
    """The provider `p`, asked in its own format; `changes` are those of `Asked`."""
    own: Endpoint = endpoint(format)
    return Asked(**{"provider": PROVIDER, "model": OWN, "endpoint": own, **changes})


def sent(format: str, envelope: Envelope, **changes: Any) -> Any:
    """The JSON that the provider gets."""
    return json.loads(b"".join(surface(format).request(envelope, asked(format, **changes)).body))


def identity(flavor: Flavor = Flavor.OPENAI) -> Identity:
    return Identity("gen-1", "a/b", flavor, "p", 1_764_000_000)


def meter(rates: Rates = RATES, prompt: int = 9) -> Meter:
    return Meter(Tariff(rates), prompt)
