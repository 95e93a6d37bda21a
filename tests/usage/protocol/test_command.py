"""What a refused command's answer says, whatever it is."""

import pytest

from usage.protocol.command import refusal_of


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"a key that reads may not do this","code":403}}', "a key that reads may not do this"),
        (b'{"error":{}}', ""),
        (b"{}", ""),
        (b"<html>", ""),
        (b'{"error":"no"}', ""),
        (b"\xff\xfe", ""),
        (b"[" * 100_000, ""),
    ],
)
def test_refusal_is_the_message_or_nothing(body: bytes, message: str) -> None:
    """A proxy's page between the two is no message, and no error of ours."""
    assert refusal_of(body) == message
