"""Keys at the edge: what a header is told to be, without asking anybody."""

import os

import pytest

from edge.auth.header import Reason, digest_of
from usage import key


def fresh() -> bytes:
    return key.mint(os.urandom(32))[0].encode()


def test_header_with_key_gives_its_digest() -> None:
    """The digest is that of the key alone, whatever the case of the scheme or the spaces around."""
    secret = fresh()
    for header in (b"Bearer " + secret, b"bearer " + secret, b"BEARER  " + secret, b"Bearer " + secret + b" "):
        assert digest_of(header) == key.digest(secret)


@pytest.mark.parametrize("header", [None, b"", b"Bearer ", b"Bearer    "])
def test_header_absent_is_missing(header: bytes | None) -> None:
    """No header, or one without a key, is the same thing to the caller."""
    assert digest_of(header) is Reason.MISSING


@pytest.mark.parametrize("header", [b"Basic dTpw", b"sk_live_x", b"BearerX", b"Token abc"])
def test_header_of_other_scheme_is_told_so(header: bytes) -> None:
    """Only Bearer is understood."""
    assert digest_of(header) is Reason.NOT_BEARER


@pytest.mark.parametrize("header", [b"Bearer sk_live_\xe9", "Bearer ключ".encode(), b"B\xc3\xa9arer x"])
def test_header_non_ascii_is_refused(header: bytes) -> None:
    """Bytes outside ASCII never reach a look-up."""
    assert digest_of(header) is Reason.NON_ASCII


def test_key_damaged_is_malformed() -> None:
    """Each single changed, missing or added character is noticed."""
    secret = fresh()
    for at in range(len(secret)):
        other = b"z" if secret[at : at + 1] != b"z" else b"y"
        assert digest_of(b"Bearer " + secret[:at] + other + secret[at + 1 :]) is Reason.MALFORMED
        assert digest_of(b"Bearer " + secret[:at] + secret[at + 1 :]) is Reason.MALFORMED
    assert digest_of(b"Bearer " + secret + b"a") is Reason.MALFORMED
    assert digest_of(b"Bearer " + secret + b"\n") is Reason.MALFORMED


def test_reason_never_shows_the_header() -> None:
    """A reason is a fixed sentence."""
    assert all(reason.value.endswith(".") and "\n" not in reason.value for reason in Reason)
