"""What a provider's words may not carry to anybody: the secret that we sent, in whatever form, and what looks like one.

Rule: the exact secret goes first, then whatever has the look of a key or an account; the second is a net, not the promise.
Strategy: a `Secret` is made once per key. Each text is searched for it as it is, encoded as providers and libraries encode
(base64, URL, hexadecimal), in parts, and masked (`sk-...abcd`). All of it runs on errors only.
Limits: parts shorter than PART_CHARS_MIN are ordinary words unless a mask or "ending in" stands beside them.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

HIDDEN: Final = "[redacted]"
TOLD_CHARS_MAX: Final = 2_000
PART_CHARS_MIN: Final = 12
EXACT_CHARS_MIN: Final = 4
"""A shorter secret is a placeholder ("x", "none"): hiding it would tear words apart."""

_LOOKS_SECRET: Final = re.compile(
    r"\b(?:sk|gsk|csk|xai|pplx|nvapi|hf|fw|tgp|org|proj)[-_][\w*.-]{6,}"  # keys and accounts that say what they are
    r"|\bAIza[\w-]{20,}"
    r"|\bBearer\s+[^\s,;]+"
    r"|\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"  # a JSON web token
    r"|\b[A-Za-z0-9]{32,}\b"  # keys that do not
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_WORD: Final = re.compile(r"[^\s\"'`<>(){},;&]{3,400}")
_MASK: Final = re.compile(r"(?:\*{2,}|\.{3,}|…|•{2,}|[xX]{4,}|\[\.\.\.\])++")
_ENDING: Final = re.compile(r"\b(?:end(?:s|ing)?|last|begin(?:s|ning)?|start(?:s|ing)?)\b[^\n]{3,40}", re.IGNORECASE)
_PART: Final = re.compile(r"[\w+/=-]{3,}")


class Secret:
    """One value that may not be told. Its repr does not tell it."""

    __slots__ = ("_parts", "_pattern", "_value")

    def __init__(self, value: str) -> None:
        self._value = value.strip()
        forms = sorted(set(_forms(self._value)), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, forms)), re.IGNORECASE) if forms else None
        starts = range(len(self._value) - PART_CHARS_MIN + 1)
        self._parts = frozenset(self._value[start : start + PART_CHARS_MIN] for start in starts)

    def __repr__(self) -> str:
        return "<Secret>"

    def hide(self, text: str) -> str:
        """The text without it."""
        if self._pattern is None:
            return text
        text = self._pattern.sub(HIDDEN, text)
        text = self._without_parts(text)
        text = _WORD.sub(self._unmasked, text)
        return _ENDING.sub(self._unending, text)

    def _without_parts(self, text: str) -> str:
        """Each stretch of PART_CHARS_MIN or more characters that is also in the secret."""
        size, at, kept, copied = PART_CHARS_MIN, 0, [], 0
        while at + size <= len(text):
            if text[at : at + size] not in self._parts:
                at += 1
                continue
            end = at + size
            while end < len(text) and text[end - size + 1 : end + 1] in self._parts:
                end += 1
            kept += [text[copied:at], HIDDEN]
            at = copied = end
        return "".join((*kept, text[copied:]))

    def _unmasked(self, match: re.Match[str]) -> str:
        """A masked word whose beginning or end is the secret's."""
        mask = _MASK.search(match[0])
        if mask is None:
            return match[0]
        before = re.split(r"[=:]", match[0][: mask.start()])[-1]
        after = match[0][mask.end() :].rstrip(".!?:")
        begins, ends = self._value.startswith(before), self._value.endswith(after)
        is_ours = (begins and len(before) >= 2 and (ends or not after)) or (ends and len(after) >= 3 and (begins or not before))
        is_ours = is_ours or (begins and len(before) >= 4) or (ends and len(after) >= 4)
        if not is_ours:
            return match[0]
        return match[0][: mask.start() - len(before)] + HIDDEN + match[0][mask.end() + len(after) :]

    def _unending(self, match: re.Match[str]) -> str:
        """ "the key ending in abcd", "last 4 digits: abcd"."""
        return _PART.sub(lambda part: HIDDEN if self._is_end(part[0]) else part[0], match[0])

    def _is_end(self, part: str) -> bool:
        return self._value.endswith(part) or (len(part) > 3 and self._value.startswith(part))


def _forms(value: str) -> Iterator[str]:
    """The secret as it is and as it is encoded; in base64 at each of the three places it can have in a longer text."""
    if len(value) < EXACT_CHARS_MIN:
        return
    raw = value.encode("utf-8")
    yield value
    yield quote(value, safe="")
    yield quote(value)
    yield raw.hex()
    for skip in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(b"\0" * skip + raw).decode("ascii").rstrip("=")
            # The first and the last characters also hold bits of what stands beside it.
            inner = coded[(0, 2, 3)[skip] : len(coded) - (1 if (skip + len(raw)) % 3 else 0)]
            if len(inner) >= 8:
                yield inner


def hidden(text: str, secrets: Iterable[Secret]) -> str:
    """The text without these secrets, without what looks like one, without control characters, cut to TOLD_CHARS_MAX."""
    for secret in secrets:
        text = secret.hide(text)
    return redacted(text)


def redacted(text: str) -> str:
    """The text without what could be a credential or an account of ours, cut to its limit."""
    read = text[: TOLD_CHARS_MAX + 200]  # further than is told, so that no secret is cut in half and told
    return _LOOKS_SECRET.sub(HIDDEN, _CONTROL.sub(" ", read))[:TOLD_CHARS_MAX]
