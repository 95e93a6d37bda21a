"""Forms: what clients really send is read, what two readers could read in two ways is refused, what goes on is the plain form.

The oracle is the standard library's reader of mail: it reads what we write as what we read.
"""

import random
from email.parser import BytesParser
from email.policy import HTTP

import pytest

from routing.request.envelope import Envelope
from routing.request.invalid import Invalid
from routing.surfaces import CallerRequest
from routing.surfaces.openai import image_edits, transcriptions
from routing.wire.multipart import FIELD_BYTES_MAX, PARTS_MAX, Form, read_form, written

TYPE = "multipart/form-data; boundary=b"


def part(disposition: str, content: bytes = b"x", *more: str) -> bytes:
    head = "\r\n".join([f"Content-Disposition: {disposition}", *more])
    return b"--b\r\n" + head.encode("latin-1", "replace") + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


def fields(body: bytes, kind: str = TYPE) -> list[tuple[str, bytes, bytes | None]]:
    return [(each.name, bytes(each.content), each.filename) for each in read_form(body, kind).parts]


def by_mail(form: Form) -> list[tuple[str, bytes, str | None]]:
    """What another reader reads of the form that goes on."""
    body = b"".join(map(bytes, written(form, form.parts)))
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + form.content_type.encode() + b"\r\n\r\n" + body)
    found = []
    for each in message.iter_parts():
        name = each.get_param("name", header="content-disposition")
        content = each.get_payload(decode=True)
        assert isinstance(content, bytes)
        found.append((str(name), content, each.get_filename()))
    return found


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('form-data; name="file"; filename="a.wav"', b"a.wav"),
        ('form-data; filename="a.wav"; name="file"', b"a.wav"),
        ("form-data; name=file; filename=a.wav", b"a.wav"),
        ("form-data; name=file; filename=a.wav; filename*=utf-8''a.wav", b"a.wav"),
        ("FORM-DATA;name=file;filename=a.wav", b"a.wav"),
        ("form-data; name=\"file\"; filename*=utf-8''%C3%A4.wav", "ä.wav".encode()),
        ("form-data; name=\"file\"; filename*=UTF-8'en'%22a%22.wav", b"%22a%22.wav"),
        ("form-data; name=\"file\"; filename*=iso-8859-1''%E4.wav", "ä.wav".encode()),
        ('form-data; name="file"; filename="a\\"b.wav"', b'a\\"b.wav'),
        ('form-data; name="file"; filename=""', b""),
        ('form-data; name="file"; filename="a;b, c.wav"', b"a;b, c.wav"),
    ],
)
def test_file_of_each_client(disposition: str, filename: bytes) -> None:
    """Quoted, bare as .NET writes it, as RFC 8187 has it, in either order."""
    ((name, content, found),) = fields(form(part(disposition, b"sound", "Content-Type: audio/wav")))
    assert (name, content, found) == ("file", b"sound", filename)


@pytest.mark.parametrize(
    "disposition",
    [
        "form-data",
        "form-data; ",
        "attachment; name=file",
        'form-data; name="a"; name="b"',
        "form-data; name*=utf-8''model",
        "form-data; name=\"a\"; name*=utf-8''b",
        'form-data; name="mo\\del"',
        'form-data; name="a"; filename="b"; filename="c"',
        "form-data; name=a; filename*=utf-8''%FF",
        "form-data; name=a; filename*=utf-16''a",
        'form-data; name="a" x',
        'form-data; name="a',
        "form-data; name=a b",
        'form-data; name="a", name="b"',
        "form-data; filename=a",
        "form-data; name=",
        'form-data; name="a"; size=5',
    ],
)
def test_name_in_two_ways_is_refused(disposition: str) -> None:
    """Another reader could take another name for the part."""
    with pytest.raises(Invalid) as caught:
        read_form(form(part(disposition)), TYPE)
    assert caught.value.code == "invalid_form"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        form(part("form-data; name=a"))[:-8],
        form(part("form-data; name=a")).removesuffix(b"--\r\n"),
        b"preamble\r\n" + form(part("form-data; name=a")),
        form(part("form-data; name=a")) + b"epilogue",
        form(part("form-data; name=a")).replace(b"\r\n", b"\n"),
        b"--bX\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b--\r\n",
        form(part("form-data; name=a", b"x", "Content-Disposition: form-data; name=b")),
        form(part("form-data; name=a", b"x", "Content-Transfer-Encoding: base64")),
        form(part("form-data; name=a", b"x", "Content-Type: a/b", "Content-Type: c/d")),
        form(part("form-data; name=a", b"x", " folded: line")),
        form(part("form-data;\r\n name=a")),
        b"--b\r\n\r\nx\r\n--b--\r\n",
        form(part("form-data; name=a", b"x", "X: " + "y" * 5_000)),
        form(*[part("form-data; name=a")] * (PARTS_MAX + 1)),
        form(part("form-data; name=a", bytes(FIELD_BYTES_MAX + 1))),
        form(part('form-data; name="\u00e9"')),
    ],
)
def test_form_that_cannot_be_read_is_refused(body: bytes) -> None:
    """A missing end, something before or behind, lines that end otherwise, heads of two readings, too much."""
    with pytest.raises(Invalid):
        read_form(body, TYPE)


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/mixed; boundary=b",
        "application/json",
        "multipart/form-data; boundary=" + "b" * 71,
        'multipart/form-data; boundary="b "',
    ],
)
def test_boundary_in_two_ways_is_refused(kind: str) -> None:
    """Of the header of the request."""
    with pytest.raises(Invalid):
        read_form(form(part("form-data; name=a")), kind)


def test_boundary_within_a_content_is_none() -> None:
    """Only at a line's beginning; a nested form is a content like any other."""
    inner = b"--c\r\nContent-Disposition: form-data; name=model\r\n\r\nother\r\n--c--\r\n"
    contents = [b"x--b", b" --b--\r\n", inner, b""]
    body = form(*[part(f"form-data; name=f{at}; filename=x", content) for at, content in enumerate(contents)])
    assert [content for _, content, _ in fields(body)] == contents


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\r"])
def test_part_that_only_others_see_is_refused(end: bytes) -> None:
    """Who takes a bare LF or CR for the end of a line would read another model there than the one that is priced."""
    hidden = end + b"--b\r\nContent-Disposition: form-data; name=model\r\n\r\ndear/model"
    body = form(part("form-data; name=model", b"cheap/model"), part("form-data; name=file; filename=a", hidden))
    with pytest.raises(Invalid):
        read_form(body, TYPE)


def test_boundary_that_begins_as_another_ends_nothing_else() -> None:
    """What begins with the boundary and goes on is neither an end nor a content: it is refused."""
    with pytest.raises(Invalid):
        read_form(form(part("form-data; name=a", b"x\r\n--bc\r\ny")), TYPE)


def test_what_goes_on_is_read_alike_by_another() -> None:
    """Names, files and contents of random forms, with contents that look like boundaries and heads."""
    dice = random.Random(5)
    bits = [b"--b", b"\r\n", b"--", b"Content-Disposition: form-data; name=model", b"x", b"\r", b'"', b"=", b";"]
    tried = 0
    for _ in range(400):
        parts = []
        for at in range(dice.randrange(1, 6)):
            content = b"".join(dice.choices(bits, k=dice.randrange(6)))
            name = dice.choice(["model", "file", "prompt", f"f{at}", "image[]"])
            file = dice.choice(["", '; filename="a.wav"', "; filename=b", "; filename*=utf-8''c%20d"])
            parts.append(part(f'form-data; name="{name}"{file}', content))
        try:
            read = read_form(form(*parts), TYPE)
        except Invalid:
            continue
        tried += 1
        ours = [(each.name, bytes(each.content)) for each in read.parts]
        assert [(name, content) for name, content, _ in by_mail(read)] == ours
    assert tried > 100


def test_form_of_any_bytes_never_raises_anything_else() -> None:
    """Arbitrary bytes, and mutations of what clients send."""
    dice = random.Random(7)
    start = form(
        part("form-data; name=file; filename=a.wav", b"RIFF" + bytes(40), "Content-Type: audio/wav"),
        part("form-data; name=model", b"echo/echo-1"),
    )
    words = [b"--b", b"\r\n", b"--", b"\r\n\r\n", b'"', b"\\", b";", b"name=model", b"filename*=utf-8''", b"\x00", b"\xff", b"%"]
    read = 0
    for _ in range(20_000):
        body = bytearray(start)
        for _ in range(dice.randrange(1, 5)):
            at = dice.randrange(len(body) + 1)
            if dice.random() < 0.5:
                body[at : at + dice.randrange(3)] = dice.choice(words)
            else:
                del body[at : at + dice.randrange(1, 20)]
        try:
            read_form(bytes(body), TYPE)
        except Invalid:
            continue
        read += 1
    assert read > 1_000
    for _ in range(2_000):
        with pytest.raises(Invalid):
            read_form(dice.randbytes(dice.randrange(200)), TYPE)


def heard(*parts: bytes) -> Envelope:
    return transcriptions.read(form(*parts), CallerRequest("/v1/audio/transcriptions", [(b"content-type", TYPE.encode())]))


FILE = part("form-data; name=file; filename=a.wav", b"RIFF" + bytes(40))


def test_model_may_stand_anywhere() -> None:
    """Before a file of 25 MB, or behind it, where the SDKs put it; the content is not copied."""
    model = part("form-data; name=model", b"echo/echo-1")
    large = part("form-data; name=file; filename=a.wav", bytes(25 * 1024 * 1024))
    for parts in ((model, large), (large, model)):
        found = heard(*parts)
        assert found.model == "echo/echo-1"
        assert isinstance(found.form.one("file").content, memoryview)


@pytest.mark.parametrize(
    ("parts", "param"),
    [
        ((FILE,), "model"),
        ((FILE, part("form-data; name=model", b"")), "model"),
        ((FILE, part("form-data; name=model", b"a/b"), part("form-data; name=model", b"c/d")), "model"),
        ((FILE, part("form-data; name=model", b"\xff")), "model"),
        ((part("form-data; name=model", b"a/b"),), "file"),
        ((part("form-data; name=file", b"RIFF"), part("form-data; name=model", b"a/b")), "file"),
        ((FILE, FILE, part("form-data; name=model", b"a/b")), "file"),
        ((FILE, part("form-data; name=model", b"a/b"), part("form-data; name=stream", b"yes")), "stream"),
        ((FILE, part("form-data; name=model", b"a/b"), part("form-data; name=response_format", b"xml")), "response_format"),
    ],
)
def test_transcription_that_is_wrong_names_its_field(parts: tuple[bytes, ...], param: str) -> None:
    """What is missing, twice, empty, no text, or of no kind that is known."""
    with pytest.raises(Invalid) as caught:
        heard(*parts)
    assert caught.value.param == param


def test_edit_takes_pictures_by_either_name() -> None:
    """`image` and `image[]`, up to sixteen; one that is no file is none."""
    call = CallerRequest("/v1/images/edits", [(b"content-type", TYPE.encode())])
    rest = (part("form-data; name=model", b"a/b"), part("form-data; name=prompt", b"a hat"))
    for name in ("image", "image[]"):
        found = image_edits.read(form(*[part(f'form-data; name="{name}"; filename="a.png"')] * 16, *rest), call)
        assert len(found.inline_media) == 16
    for pictures in ((), (part("form-data; name=image"),), (part("form-data; name=image; filename=a"),) * 17):
        with pytest.raises(Invalid):
            image_edits.read(form(*pictures, *rest), call)
