"""Keys: shape, checksum, digest."""

import hashlib
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage import key

entropies = st.binary(min_size=key.ENTROPY_BYTES, max_size=key.ENTROPY_BYTES)


@given(entropies)
def test_key_minted_is_well_formed(entropy: bytes) -> None:
    """Every mint gives the documented shape, and its id is in it."""
    text, key_id = key.mint(entropy)
    assert re.fullmatch(r"sk_live_[0-9a-z]{6}_[0-9a-z]{32}[0-9a-z]{6}", text)
    assert text[8:14] == key_id
    assert key.is_well_formed(text.encode())
    assert key.mint(entropy) == (text, key_id)


@given(entropies, st.integers(0, 52), st.binary(min_size=1, max_size=1))
def test_key_with_one_byte_changed_is_malformed(entropy: bytes, at: int, byte: bytes) -> None:
    """CRC-32 finds every single change; a changed prefix is no key of ours."""
    text = key.mint(entropy)[0].encode()
    damaged = text[:at] + byte + text[at + 1 :]
    assert key.is_well_formed(damaged) == (damaged == text)


@given(st.binary(max_size=80))
def test_bytes_at_random_are_no_key(junk: bytes) -> None:
    """Whatever comes in, the answer is a plain no."""
    assert not key.is_well_formed(junk)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_mint_wants_its_entropy(length: int) -> None:
    """Less than 32 bytes would be guessable, more would be lost."""
    with pytest.raises(ValueError, match="32 bytes"):
        key.mint(bytes(length))


def test_checksum_without_its_prefix_is_noticed() -> None:
    """A shape without a right checksum is not enough: the wrong variant that checks the shape alone takes this key."""
    text = key.mint(os.urandom(32))[0].encode()
    last = b"0" if text[-1:] != b"0" else b"1"
    wrong = text[:-1] + last
    assert re.fullmatch(rb"sk_live_[0-9a-z]{6}_[0-9a-z]{38}", wrong)
    assert not key.is_well_formed(wrong)


def test_digest_is_that_of_the_whole_key() -> None:
    """SHA-256, lower-case hexadecimal; nothing of the key can be read in it or in its masked form."""
    text, key_id = key.mint(os.urandom(32))
    assert key.digest(text.encode()) == hashlib.sha256(text.encode()).hexdigest()
    assert key.masked(text) == f"sk_live_{key_id}_...{text[-3:]}"


@given(entropies, st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_key_bears_the_mark_of_its_deployment(entropy: bytes, ours: bytes, theirs: bytes) -> None:
    """A marked key is well-formed for everybody, and told from an invented one by whoever has the deployment's secret."""
    text, key_id = key.mint(entropy, ours)
    assert text[8:14] == key_id
    assert key.is_well_formed(text.encode())
    assert key.is_marked(text.encode(), ours)
    assert key.is_marked(text.encode(), theirs) == (ours == theirs)
    assert not key.is_marked(key.mint(entropy)[0].encode(), ours)


def test_mark_covers_id_and_secret() -> None:
    """The wrong variant that marks a part of the key alone would take a mark from another key: each character counts."""
    secret = os.urandom(32)
    text = key.mint(os.urandom(32), secret)[0]
    for at in (*range(8, 14), *range(15, 39)):
        other = text[:at] + ("1" if text[at] == "0" else "0") + text[at + 1 :]
        assert not key.is_marked(other.encode(), secret)


@pytest.mark.parametrize("prefix", ["sk_read_", "sk_mgmt_"])
def test_key_of_an_account_is_checked_by_its_own_prefix(prefix: str) -> None:
    """The shape and the checksum of one that pays; what was mistyped, cut or has another prefix is none."""
    made = key.mint(os.urandom(32), prefix=prefix)[0].encode()
    assert key.is_checked(made, prefix.encode())
    assert not key.is_checked(made, b"sk_live_")
    assert not key.is_checked(made[:-1], prefix.encode())
    assert not key.is_checked(made[:20] + (b"a" if made[20:21] != b"a" else b"b") + made[21:], prefix.encode())
    assert not key.is_well_formed(made)


def test_key_masked_shows_whose_it_is_and_no_more() -> None:
    """The prefix, its id and the last three characters."""
    made, key_id = key.mint(os.urandom(32))
    assert key.masked(made) == f"{made[:8]}{key_id}_...{made[-3:]}"
