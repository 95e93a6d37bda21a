"""No regular expression of ours keeps a place for each repetition of a group, nor goes over the rest of a text again and again.

Python's `re` keeps about 130 bytes for each time that a group was repeated, to come back to it: a text of 16 MiB in which
every other byte is an escape took 1.1 GiB, twice what a small machine has. Repeated with `*+` or `++`, nothing is kept. The rule
is read from the source, so that it holds for patterns that no test feeds.
"""

import ast
import re
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from re import _constants as codes
from re import _parser as parser
from typing import Any

import pytest

from routing.dialects.gemini_frame import learned
from routing.metering import meter
from routing.wire.members import decode_members, is_plain, spans
from routing.wire.objects import decode_objects, repeats_in_list
from routing.wire.repair import sound_form

ROOT = Path(__file__).parent.parent
FEW = 1_000
"""So many repetitions may be kept."""
MIB = 1 << 20


def patterns_of(source: str) -> Iterator[tuple[int, str | bytes]]:
    """(line, pattern) of each call of a function of `re` with a constant pattern."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(ast.Attribute(ast.Name("re")), [ast.Constant(str() | bytes() as pattern), *_]):
                yield node.lineno, pattern


def keeps_places(tree: Any) -> bool:
    """Whether a group is repeated without a bound such that each repetition can be taken back."""
    for code, arguments in tree:
        match code:
            case codes.MAX_REPEAT | codes.MIN_REPEAT:
                most, inner = arguments[1:]
                is_one_character = len(inner) == 1 and inner[0][0] in (codes.LITERAL, codes.NOT_LITERAL, codes.IN, codes.ANY)
                if (most > FEW and not is_one_character) or keeps_places(inner):
                    return True
            case codes.POSSESSIVE_REPEAT:
                if keeps_places(arguments[2]):
                    return True
            case codes.SUBPATTERN:
                if keeps_places(arguments[3]):
                    return True
            case codes.BRANCH:
                if any(map(keeps_places, arguments[1])):
                    return True
            case codes.ATOMIC_GROUP:
                if keeps_places(arguments):
                    return True
            case codes.ASSERT | codes.ASSERT_NOT:
                if keeps_places(arguments[1]):
                    return True
    return False


def sources() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in listed.stdout.splitlines() if path.partition("/")[0] in ("routing", "usage", "edge", "collector")]


def test_patterns_keep_no_place_for_each_repetition() -> None:
    """In no module of ours."""
    found = [
        f"{path}:{line}"
        for path in sources()
        for line, pattern in patterns_of((ROOT / path).read_text())
        if keeps_places(parser.parse(pattern))
    ]
    assert not found


@pytest.mark.parametrize("pattern", [rb'"(?:[^"\\]|\\.)*"', r"a(?:b(?:cd)+)?", r"(?:(a)|(bb)*)", r"(?=(?:ab)*)"])
def test_patterns_that_keep_places_are_found(pattern: str | bytes) -> None:
    """Wherever the repetition stands."""
    assert keeps_places(parser.parse(pattern))


@pytest.mark.parametrize("pattern", [rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', r"[a-z]+x*", r"(?:ab){0,16}"])
def test_patterns_that_keep_none_pass(pattern: str | bytes) -> None:
    """What is possessive, of single characters, or bounded."""
    assert not keeps_places(parser.parse(pattern))


ESCAPED = b"x\\n" * (4 * MIB // 3)
READERS: dict[str, Callable[[], object]] = {
    "texts": lambda: meter.TEXT.findall(b'{"content":"%b"}' % ESCAPED),
    "member's name": lambda: spans(b'{"%b": 1}' % ESCAPED, decode_members(b'{"%b": 1}' % ESCAPED)),
    "name in a list": lambda: repeats_in_list(b'[{ "%b": 1}]' % ESCAPED, decode_objects(b'[{ "%b": 1}]' % ESCAPED)),
    "plain text": lambda: is_plain(ESCAPED),
    "repaired text": lambda: sound_form(b'"%b"' % ESCAPED),
    "Gemini's text": lambda: learned(b'data: {"text":"%b","usageMetadata":{}}\n\n' % ESCAPED),
}


@pytest.mark.parametrize("reader", READERS)
def test_texts_of_escapes_take_a_few_times_their_size(reader: str) -> None:
    """Not a hundred times."""
    tracemalloc.start()
    try:
        READERS[reader]()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * len(ESCAPED)


@pytest.mark.parametrize("end", [b"", b"\\"])
def test_string_without_end_is_read_once(end: bytes) -> None:
    """A megabyte of escaped quotes behind a quote that is never closed; looked for from each of them, it took minutes."""
    text = b'{"a":"' + b'\\"' * (MIB // 2) + end
    assert sound_form(text) == text


def test_string_without_end_is_made_sound() -> None:
    """What is in it is replaced as in any other."""
    assert sound_form(b'{"a":"\\x\x01\\n\xff') == b'{"a":"???\\n?'
    assert re.fullmatch(rb'"\?{6}\\ud83d\\ude00\?{12}"', sound_form(rb'"\ud83d\ud83d\ude00\ude00\ude00"'))
