"""Providers' complaints: the message, the names and the waits are found in every shape known, and nothing a caller wrote is."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.failures.provider_error_body import BODY_BYTES_MAX, MESSAGE_CHARS_MAX, read_error_body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"error": {"message": "no such model", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}},
            ("no such model", "model_not_found", "model"),
        ),
        ({"code": "The service is unavailable", "error": "try later"}, ("try later", "The service is unavailable", None)),
        ([{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}], ("bad", "INVALID_ARGUMENT", None)),
        (
            {"detail": [{"loc": ["body", "x"], "msg": "extra forbidden"}, {"msg": "and more"}]},
            ("extra forbidden; and more", None, None),
        ),
        ({"object": "error", "message": {"detail": [{"msg": "deep"}]}, "type": "t"}, ("deep", "t", None)),
        ({"detail": "Not Found"}, ("Not Found", None, None)),
        ({"title": "Bad", "detail": "worse", "status": 400}, ("worse", "400", None)),
        ({"fault": {"faultstring": "quota", "detail": {"errorcode": "policies.x"}}}, ("quota", "policies.x", None)),
        ({"error": {"code": True}}, ("", None, None)),
        ({"error": None}, ("", None, None)),
        ("plain", ("plain", None, None)),
        ([], ("", None, None)),
        ({"error": "invalid_api_key"}, ("invalid_api_key", "invalid_api_key", None)),
        (
            {"error": {"error": {"error": {"error": {"error": {"error": {"error": {"error": "too deep"}}}}}}}},
            ("too deep", None, None),
        ),
        ({"message": [[[[[[[[["out of reach"]]]]]]]]]}, ("", None, None)),
    ],
)
def test_complaint_shape(body: object, expected: tuple[str, str | None, str | None]) -> None:
    """OpenAI, xAI, Google, FastAPI, Mistral, Apigee, problem+json and bare strings; what explains nothing has no message."""
    assert read_error_body(json.dumps(body).encode())[:3] == expected


def test_complaint_names() -> None:
    """Codes, types and reasons from wherever they stand, the innermost error's first."""
    raw = json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})
    body = {"error": {"code": 529, "message": "Provider returned error", "metadata": {"raw": raw, "provider_name": "x"}}}
    complaint = read_error_body(json.dumps(body).encode())
    assert (complaint.message, complaint.code, complaint.status) == ("busy", "overloaded_error", 529)
    assert complaint.names == ("529", "overloaded_error")


@pytest.mark.parametrize("body", [b"", b"[" * 100_000, b'{"a":' * 50_000, b'"' + b"x" * BODY_BYTES_MAX + b'"'])
def test_complaint_that_is_none(body: bytes) -> None:
    """What nests without end or is too long is no reason to fail."""
    assert len(read_error_body(body).message) <= MESSAGE_CHARS_MAX


@given(st.text())
def test_complaint_is_bounded(text: str) -> None:
    """Any message comes out short and fit for every encoder."""
    message = read_error_body(json.dumps({"error": {"message": text * 5_000}}).encode()).message
    assert len(message) <= MESSAGE_CHARS_MAX
    message.encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["error", "message", "detail", "code", "raw", "metadata"]), inner)
    ),
)


@given(json_values)
def test_complaint_of_any_document(value: object) -> None:
    """Whatever the known members hold, something comes out."""
    assert isinstance(read_error_body(json.dumps(value).encode()).message, str)


def test_complaint_costs_little() -> None:
    """The largest bodies that are read take milliseconds, not seconds, whatever is in them."""
    for piece in (b"a", b"{", b'{"error":', b"<title>", b"\xe9", b"data: {\n", b"* ", b'\\"'):
        began_s = time.process_time()
        read_error_body((piece * 65_536)[:65_536])
        assert time.process_time() - began_s < 1.0, piece


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        ("额度不足".encode("gbk"), b"", "额度不足"),
        ("额度不足".encode("gb18030"), b"text/plain; charset=GB18030", "额度不足"),
        ("límite".encode("latin-1"), b"", "límite"),
        (b"\xff\xff broken", b"", "ÿÿ broken"),
        (b"\x80\x80", b"", "\x80\x80"),
        ("ä".encode() + b" cut \xc3", b"", "ä cut \ufffd"),
        ("zu viel".encode("utf-16"), b"", "zu viel"),
        ("límite".encode("cp1252"), b"text/plain; charset=windows-1252", "límite"),
        ("límite".encode("latin-1"), b"text/plain; charset=utf-99", "límite"),
    ],
)
def test_words_in_each_alphabet_are_read(body: bytes, content_type: bytes, message: str) -> None:
    """UTF-8, the one that is named, Chinese without a name, else as Latin-1: never an error, and never nothing."""
    assert read_error_body(body, content_type).message == message


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ({"error": {"status": "not a word", "code": "c"}}, ("c",)),
        ({"error": {"status": "RESOURCE_EXHAUSTED"}}, ("RESOURCE_EXHAUSTED",)),
        ({"error": {"code": "none", "type": "Exception"}}, ()),
        ({"error": "invalid_grant"}, ("invalid_grant",)),
        ({"error": "in words"}, ()),
        ({"__type": "com.amazonaws.x#ThrottlingException:http://x"}, ("ThrottlingException",)),
    ],
)
def test_names_of_an_error_are_words(document: dict[str, object], names: tuple[str, ...]) -> None:
    assert read_error_body(json.dumps(document).encode()).names == names
