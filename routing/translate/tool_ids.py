"""Ids of tool calls, made such as a provider accepts that did not give them.

Rule: the same id always becomes the same, so a call and its result still fit together, whatever request they stand in; an id that
is accepted stays as it is.
Source: BREADTH.md 3.2, reports 2 and 3: Anthropic takes `[a-zA-Z0-9_-]+`, Mistral exactly nine letters and digits, Converse up to
64 of `[a-zA-Z0-9_.:-]`, OpenAI up to 64 characters.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Final

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _hashed(text: str, length: int) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:16])
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(digits)


def maker(pattern: str, length_max: int) -> Callable[[str], str]:
    """What makes ids of the characters in `pattern` (a class of them), at most that long."""
    accepted = re.compile(rf"[{pattern}]{{1,{length_max}}}\Z")
    other = re.compile(rf"[^{pattern}]")

    def made(text: str) -> str:
        if accepted.match(text):
            return text
        return f"{other.sub('_', text)[: length_max - 10]}_{_hashed(text, 9)}"

    return made


ANTHROPIC: Final = maker("a-zA-Z0-9_-", 128)
CONVERSE: Final = maker("a-zA-Z0-9_.:-", 64)
OPENAI: Final = maker("a-zA-Z0-9_.:-", 64)
_NINE: Final = re.compile(r"[a-zA-Z0-9]{9}\Z")


def mistral(text: str) -> str:
    return text if _NINE.match(text) else _hashed(text, 9)


NAME: Final = maker("a-zA-Z0-9_-", 64)
"""Names of tools, as OpenAI takes them: Anthropic's may have 128 characters (report 18)."""


def named(name: str, names: dict[str, str]) -> str:
    """A tool's name as OpenAI takes it; `names` remembers what it was."""
    made = NAME(name)
    if made != name:
        names[made] = name
    return made
