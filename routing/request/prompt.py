"""What a prompt has beside its text: media and where they are, references to what is kept at a provider, caches.

Strategy: the messages are split into their members, level by level, with raw values; a text is never decoded. Names that say
nothing of this kind are passed over as a set.
Rule: a member that stands twice in an object is refused. Rule: parts and depth are bounded, so that what it costs to read a body
does not grow with what a caller makes of it.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.request.invalid import Invalid
from routing.request.names import IN_PROMPT, STATE_IN_PROMPT, check_name, check_state_name, words
from routing.wire.members import Members, decode_members
from routing.wire.objects import Objects, compact, decode_objects, is_dense, repeats, repeats_in_list, shorten

MEDIA_PARTS_MAX = 4_096
"""More than any provider takes, and few enough to be counted."""
PARTS_MAX = 50_000
"""Objects in the messages: twenty times what a long session of a coding agent has."""
DEPTH_MAX = 24
LARGE_BYTES = 65_536

_ANYTHING: Final = words(
    "tool_calls function_call annotations reasoning_details input arguments parameters schema metadata extra_content"
)
"""Names whose values may have members of any name: what a model wrote in an earlier turn, and its tools' own affairs."""
_TEXTS: Final = words("role type text name tool_call_id id refusal reasoning_content reasoning")
_OPAQUE: Final = _ANYTHING | _TEXTS
"""Names whose values are not looked into."""
_PLAIN: Final = _OPAQUE | words("content detail format filename index prefix thought thinking signature language")
"""Names that need no second look."""
_SIMPLE: Final = _OPAQUE | {"content"}
_TEXT_PART: Final = frozenset(("type", "text"))
_QUOTE, _BRACKET, _BRACE = b'"[{'
_decode = msgspec.json.Decoder().decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_lists = msgspec.json.Decoder(list[Objects]).decode
_encode = msgspec.json.Encoder().encode


class Prompt(msgspec.Struct, frozen=True, gc=False):
    """`images` and `others` (documents, videos) are elsewhere; `inline` are the bytes of each image or sound that is here.

    `state` is the path of the first reference to something kept at the provider. `cache_lives` are the ttl of the cache marks.
    """

    images: int = 0
    others: int = 0
    inline: tuple[int, ...] = ()
    state: str | None = None
    cache_lives: frozenset[str] = frozenset()


EMPTY: Final = Prompt()


def read_prompt(raw: Raw | bytes, member: str = "messages") -> Prompt:
    """What is in the JSON of `member`, a list or an object. Invalid."""
    text, sizes = (bytes(raw), {}) if len(raw) <= LARGE_BYTES else shorten(bytes(raw))
    try:
        if text[0] == _BRACKET:
            text = compact(text)
            try:
                objects = decode_objects(text)
            except msgspec.ValidationError:
                objects = []
            if objects and len(objects) <= PARTS_MAX and is_dense(text, objects) and _are_texts(text, objects):
                return EMPTY
        scan = _PromptScan(member, sizes)
        scan.into(text, member, 0)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise Invalid(f"'{member}' cannot be read: {problem}", member) from None
    if scan.is_plain:
        return EMPTY
    return Prompt(scan.images, scan.others, tuple(scan.inline), scan.state, frozenset(scan.cache_lives))


def read_prompts(members: Members, names: Iterable[str]) -> Prompt:
    """What is in those of the members that are lists or objects, as one prompt. Invalid."""
    prompts = [
        read_prompt(raw, name) for name in names if (raw := members.get(name)) and memoryview(raw)[0] in (_BRACE, _BRACKET)
    ]
    found = [prompt for prompt in prompts if prompt is not EMPTY]
    if not found:
        return EMPTY
    return Prompt(
        sum(prompt.images for prompt in found),
        sum(prompt.others for prompt in found),
        tuple(chain.from_iterable(prompt.inline for prompt in found)),
        next((prompt.state for prompt in found if prompt.state is not None), None),
        frozenset[str]().union(*(prompt.cache_lives for prompt in found)),
    )


def _are_texts(text: bytes, messages: Objects) -> bool:
    """Whether a dense list is one of messages with nothing in them but text, as nearly all are: what else there can be in one has
    another name, or is in its content."""
    if not set().union(*messages) <= _SIMPLE or b'"content":{' in text:
        return False
    if b'"content":[' not in text:
        return True
    contents = [content for members in messages if (content := members.get("content")) and memoryview(content)[0] == _BRACKET]
    lists = b"[%b]" % b",".join(contents)
    try:
        parts = _decode_lists(lists)
    except msgspec.ValidationError:
        return False
    flat = list(chain.from_iterable(parts))
    return len(flat) <= PARTS_MAX and set().union(*flat) <= _TEXT_PART and _encode(parts) == lists


class _PromptScan:
    """What was seen so far."""

    __slots__ = ("cache_lives", "images", "inline", "is_plain", "member", "others", "parts", "sizes", "state")

    def __init__(self, member: str, sizes: dict[bytes, int]) -> None:
        self.member = member
        self.images = self.others = self.parts = 0
        self.inline: list[int] = []
        self.state: str | None = None
        self.cache_lives: set[str] = set()
        self.is_plain = True
        self.sizes = sizes
        """How long those strings were that were shortened."""

    def into(self, raw: Raw | bytes, path: str, depth: int) -> None:
        """Everything in a list or an object."""
        if depth > DEPTH_MAX:
            raise Invalid(f"'{self.member}' is nested more than {DEPTH_MAX} levels deep", self.member)
        text = bytes(raw)
        if text[0] == _BRACE:
            members = decode_members(text)
            if repeats(text, members):
                raise self._repeated(path)
            self._object(members, path, depth)
            return
        text = compact(text)
        try:
            objects = decode_objects(text)
        except msgspec.ValidationError:
            self._mixed(_decode_list(text), path, depth)
            return
        self._count_parts(len(objects))
        if repeats_in_list(text, objects):
            raise self._repeated(path)
        self._objects(objects, path, depth)

    def _objects(self, objects: Objects, path: str, depth: int) -> None:
        for at, members in enumerate(objects):
            content = members.get("content")
            # As nearly all messages are.
            if (content is None or memoryview(content)[0] == _QUOTE) and members.keys() <= _SIMPLE:
                continue
            self._object(members, f"{path}[{at}]", depth)

    def _mixed(self, values: list[Raw], path: str, depth: int) -> None:
        self._count_parts(len(values))
        for at, value in enumerate(values):
            if memoryview(value)[0] in (_BRACE, _BRACKET):
                self.into(value, f"{path}[{at}]", depth + 1)

    def _object(self, members: Members, path: str, depth: int) -> None:
        for name, value in members.items():
            first = memoryview(value)[0]
            if name not in _PLAIN:
                if name in IN_PROMPT or name.endswith("_url"):
                    self.is_plain = False
                    self._see(f"{path}.{name}", name, value, first)
                elif self.member == "messages":
                    check_name(name, in_prompt=self.member)
                else:
                    check_state_name(name, self.member)
            if (first in (_BRACE, _BRACKET)) and name not in _OPAQUE:
                self.into(value, f"{path}.{name}", depth + 1)

    def _see(self, path: str, name: str, value: Raw, first: int) -> None:
        is_text = first == _QUOTE
        if first == ord("n"):
            # A null refers to nothing.
            return
        if name in STATE_IN_PROMPT:
            self.others += 1
            self.state = self.state or path
        elif name == "url" or (name == "image_url" and first != _BRACE):
            if is_text and _is_data(value):
                self.inline.append(self._size(value) - len("data:"))
            else:
                self.images += 1
        elif name == "data":
            if is_text:
                self.inline.append(self._size(value))
        elif name == "audio":
            if first == _BRACE and bytes(decode_members(value).get("id", b"null")) != b"null":
                self.state = self.state or f"{path}.id"
        elif name == "cache_control":
            life = _decode(value)
            if isinstance(life, dict):
                self.cache_lives.add(str(life.get("ttl") or "5m"))
        elif name.endswith("_url"):
            self.others += name != "image_url" and not (is_text and _is_data(value))
        elif name in ("file_data", "file"):
            self.others += is_text and bytes(memoryview(value)[1:5]).lower() == b"http"
        if self.images + self.others + len(self.inline) > MEDIA_PARTS_MAX:
            raise Invalid(f"'{self.member}' must not have more than {MEDIA_PARTS_MAX} images, sounds and documents", self.member)

    def _size(self, value: Raw) -> int:
        """Bytes of a string as it came."""
        return self.sizes.get(bytes(value), len(value) - 2) if self.sizes else len(value) - 2

    def _count_parts(self, more: int) -> None:
        self.parts += more
        if self.parts > PARTS_MAX:
            raise Invalid(f"'{self.member}' must not have more than {PARTS_MAX} parts", self.member)

    def _repeated(self, path: str) -> Invalid:
        return Invalid(f"'{path}' has an object with the same member twice: send it once", path, "ambiguous_member")


def _is_data(value: Raw) -> bool:
    """Whether a string is a data: URI, as far as its beginning tells. Its bytes are in the body."""
    head: Any = bytes(memoryview(value)[1:6])
    return bool(head.lower() == b"data:")
