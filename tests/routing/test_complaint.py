"""Providers' complaints: the message is found in every shape known, and nothing that could be a secret gets through."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.complaint import BODY_BYTES_MAX, MESSAGE_CHARS_MAX, redacted, upstream_message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"error": {"message": "no such model", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}},
            ("no such model", "model_not_found", "model"),
        ),
        ({"code": "The service is unavailable", "error": "try later"}, ("try later", "The service is unavailable", None)),
        ([{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}], ("bad", "400", None)),
        (
            {"detail": [{"loc": ["body", "x"], "msg": "extra forbidden"}, {"msg": "and more"}]},
            ("extra forbidden; and more", None, None),
        ),
        ({"object": "error", "message": {"detail": [{"msg": "deep"}]}, "type": "t"}, ("deep", "t", None)),
        ({"detail": "Not Found"}, ("Not Found", None, None)),
        ({"error": {"code": True}}, ("", None, None)),
        ({"error": None}, ("", None, None)),
        ("plain", ("plain", None, None)),
        ([], ("", None, None)),
        (3, ("", None, None)),
    ],
)
def test_complaint_shape(body: object, expected: tuple[str, str | None, str | None]) -> None:
    """OpenAI, xAI, Google, FastAPI, Mistral and bare strings; and what explains nothing has no message."""
    assert upstream_message(json.dumps(body).encode()) == expected


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"\xff", b"[" * 100_000, b'"' + b"x" * BODY_BYTES_MAX + b'"'])
def test_complaint_that_is_none(body: bytes) -> None:
    """What is not JSON, nests without end or is too long is not guessed at."""
    assert upstream_message(body) == ("", None, None)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-" + "Ab1-" * 8,
        "sk-...wxyz123",
        "org-" + "a1B2c3D4e5",
        "gsk_" + "Z" * 20,
        "AIza" + "x" * 35,
        "Bearer abc.def",
        "0123456789abcdef" * 2,
    ],
)
def test_complaint_redacts(secret: str) -> None:
    """A key or an account in the provider's words does not reach the caller."""
    message, code, _ = upstream_message(
        json.dumps({"error": {"message": f"Incorrect key: {secret}, sorry", "code": secret}}).encode()
    )
    assert message == "Incorrect key: [redacted], sorry"
    assert code == "[redacted]"


def test_complaint_keeps_ordinary_words() -> None:
    """Model names and prose stay as they are."""
    text = "accounts/fireworks/models/llama-v3p1-405b-instruct does not exist; task-force, max_tokens=100000"
    assert redacted(text) == text


@given(st.text())
def test_complaint_is_bounded(text: str) -> None:
    """Any message comes out short and without control characters other than tab and line feed."""
    message = upstream_message(json.dumps({"error": {"message": text * 50}}).encode())[0]
    assert len(message) <= MESSAGE_CHARS_MAX
    assert not any(ord(char) < 32 and char not in "\t\n" for char in message)
