"""Redaction: the secret that was sent is in nothing that is told, in whatever form; and ordinary words stay."""

import base64
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.failures.redaction import TOLD_CHARS_MAX, Secret, hidden, redacted

SECRET = "Zq7+weird/secret=that-looks_like.nothing"
FORMS = [
    SECRET,
    SECRET.upper(),
    quote(SECRET, safe=""),
    base64.b64encode(SECRET.encode()).decode(),
    base64.urlsafe_b64encode(SECRET.encode()).decode(),
    base64.b64encode(b"user:" + SECRET.encode()).decode(),
    base64.b64encode(b"x" + SECRET.encode() + b"tail").decode(),
    SECRET.encode().hex(),
    SECRET[:20],
    SECRET[10:30],
    SECRET[-14:],
    SECRET[:4] + "..." + SECRET[-4:],
    SECRET[:3] + "*" * 20 + SECRET[-4:],
    "*" * 12 + SECRET[-4:],
    SECRET[:6] + "…",
    SECRET[:6] + "••••••" + SECRET[-2:],
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("frame", ["Incorrect API key provided: {}. See x", "{}", "key={}&x", '"{}"', "({})", "Bearer {} is bad"])
def test_secret_is_hidden(form: str, frame: str) -> None:
    """As it is, encoded, in part, masked; wherever it stands."""
    told = hidden(frame.format(form), [Secret(SECRET)])
    pieces = [SECRET[start : start + 8] for start in range(len(SECRET) - 7)]
    assert "[redacted]" in told
    assert form not in told
    assert not any(piece in told for piece in pieces)
    assert SECRET[-4:] not in told


@pytest.mark.parametrize("text", [f"the key ending in {SECRET[-4:]} is not valid", f"key (last 4 digits: {SECRET[-4:]}) expired"])
def test_secret_by_its_end(text: str) -> None:
    """Its last letters, where they are said to be that."""
    assert SECRET[-4:] not in hidden(text, [Secret(SECRET)])


def test_several_secrets() -> None:
    """Each of them, and the look of a key besides."""
    look = "sk-" + "proj-" + "Ab1-" * 8
    assert hidden(f"one-secret, two-secret and {look}", [Secret("one-secret"), Secret("two-secret")]) == ", ".join(
        ["[redacted]", "[redacted] and [redacted]"]
    )


def test_secret_across_the_cut() -> None:
    """A secret where the text is cut is not told by half."""
    told = hidden("x " * (TOLD_CHARS_MAX // 2 - 5) + SECRET, [Secret(SECRET)])
    assert len(told) <= TOLD_CHARS_MAX
    assert SECRET[:8] not in told


def test_secret_does_not_tell_itself() -> None:
    """Its repr is no leak, and a placeholder is no secret."""
    assert repr(Secret(SECRET)) == "<Secret>"
    assert hidden("an x is an x", [Secret("x"), Secret("")]) == "an x is an x"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-" + "Ab1-" * 8,
        "sk-...wxyz123",
        "org-" + "a1B2c3D4e5",
        "gsk_" + "Z" * 20,
        "AIza" + "x" * 35,
        "Bearer abc.def",
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
        "0123456789abcdef" * 2,
    ],
)
def test_look_of_a_key_is_hidden(secret: str) -> None:
    """The second net: what looks like a key or an account, whosever it is."""
    assert redacted(f"Incorrect key: {secret}, sorry") == "Incorrect key: [redacted], sorry"


@pytest.mark.parametrize(
    "text",
    [
        "accounts/fireworks/models/llama-v3p1-405b-instruct does not exist; task-force, max_tokens=100000",
        "Ending in 3 days... the **bold** offer, xxxx and so on",
        "wait... what? messages[0].content must be a string",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    """Model names, emphasis and prose stay as they are."""
    assert hidden(text, [Secret(SECRET)]) == text


@given(st.text(max_size=400), st.text(min_size=4, max_size=40))
def test_secret_is_never_told(text: str, secret: str) -> None:
    """Any secret in any text."""
    value = secret.strip()
    told = hidden(text + secret + text, [Secret(secret)])
    assert len(value) < 4 or value in "[redacted]" or value not in told.replace("[redacted]", "\0")


def test_hiding_costs_little() -> None:
    """The longest message takes milliseconds."""
    for piece in ("a", "*", "x.", "sk-", SECRET[:11], "ending ", "Zq7+weird/sec"):
        began_s = time.process_time()
        hidden((piece * 8_192)[:8_192], [Secret(SECRET * 4)])
        assert time.process_time() - began_s < 0.5, piece
