"""Reads one request on its way into another format, level by level, and keeps account of what is left out.

Strategy: every object is split into members with raw values; a text, a schema or an image is copied, never decoded.
Rule: whatever is not taken is either null, reported by its path, or Invalid; nothing disappears.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.request.invalid import Invalid
from routing.translate import Target
from routing.translate.ledger import Ledger
from routing.wire.members import REFUSED, Members, decode_members

Object = dict[str, Raw]
encode: Final = msgspec.json.Encoder().encode
_decode_objects: Final = msgspec.json.Decoder(list[Members]).decode
_decode_str: Final = msgspec.json.Decoder(str).decode
_decode: Final = msgspec.json.Decoder().decode
NOTHING: Final = (b"null", b"[]", b"{}", b'""')
NULL: Final = b"null"
QUOTE, BRACKET, BRACE = b'"', b"[", b"{"


def is_absent(raw: Raw | None) -> bool:
    return raw is None or (len(raw) == 4 and bytes(raw) == NULL)


def is_empty(raw: Raw | None) -> bool:
    """Whether it says nothing: not there, or nothing in it."""
    return raw is None or (len(raw) <= 4 and bytes(raw) in NOTHING)


def kind_of(raw: Raw | bytes) -> bytes:
    """The first byte of a JSON value: what it is."""
    return bytes(memoryview(raw)[:1])


def joined(literals: list[bytes]) -> bytes:
    """One JSON string of several."""
    return literals[0] if len(literals) == 1 else b'"%b"' % b"".join([literal[1:-1] for literal in literals])


class Reader:
    """`ignored` are the paths of what was left out so far, in order and each once."""

    __slots__ = ("ignored", "target")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.ignored: dict[str, None] = {}

    def decline(self, path: str) -> None:
        """An offer that cannot be taken."""
        if self.target.requires_parameters:
            raise self.unsupported(path, "'provider.require_parameters' is set, and")
        self.ignored[path] = None

    def unsupported(self, path: str, hint: str = "") -> Invalid:
        """A demand that cannot be met. `hint` begins or ends the sentence: it says why, or what would do."""
        before, after = (f"{hint} ", "") if hint.endswith("and") else ("", f": {hint}" if hint else "")
        message = f"{before}{self.target.provider} has no counterpart of '{path}' for {self.target.model}{after}"
        return Invalid(message, path, "unsupported_parameter")

    def wrong(self, path: str, expected: str) -> Invalid:
        return Invalid(f"'{path}' must be {expected}", path)

    def top(self, body: bytes, ledger: Ledger) -> tuple[Members, Members]:
        """(what the pair's code reads, what is copied under its new name)."""
        members = self.object(Raw(body), "")
        read: Members = {}
        copied: Members = {}
        for name, value in members.items():
            rule = ledger.get(name)
            if rule is None:
                if bytes(value) == NULL:
                    continue
                raise self.unsupported(name, "leave it out, or call a model whose provider is spoken to in this format")
            # No tools to choose from is nothing; none of those that are there is something.
            is_said = rule.kind == "read" and bytes(value) == b'"none"'
            if rule.kind == "meaningless" or (len(value) < 32 and not is_said and rule.says_nothing(name, bytes(value))):
                continue
            match rule.kind:
                case "read":
                    read[name] = value
                case "renamed":
                    copied[rule.name] = value
                case "offer":
                    if bytes(value) not in NOTHING:
                        self.decline(name)
                case "demand":
                    raise self.unsupported(name, rule.hint or "leave it out")
        return read, copied

    def object(self, raw: Raw, path: str) -> Object:
        try:
            members: Object = decode_members(raw)
        except REFUSED:
            raise self.wrong(path, "an object") if path else Invalid("the body must be a JSON object") from None
        return members

    def objects(self, raw: Raw, path: str) -> list[Object]:
        try:
            found: list[Object] = _decode_objects(raw)
        except REFUSED:
            raise self.wrong(path, "a list of objects") from None
        return found

    def text(self, raw: Raw | None, path: str) -> str:
        """A string, decoded; "" for one that is not there."""
        if raw is None or is_absent(raw):
            return ""
        try:
            text: str = _decode_str(raw)
        except REFUSED:
            raise self.wrong(path, "a string") from None
        return text

    def literal(self, raw: Raw | None, path: str) -> bytes:
        """A string as it stands in the JSON; empty for one that is not there."""
        if raw is None or is_absent(raw):
            return b""
        if kind_of(raw) != QUOTE:
            raise self.wrong(path, "a string")
        return bytes(raw)

    def needed_literal(self, members: Object, name: str, path: str) -> bytes:
        """A string without which what `members` are is nothing, as it stands in the JSON."""
        literal = self.literal(members.get(name), f"{path}.{name}")
        if literal in (b"", b'""'):
            raise self.wrong(f"{path}.{name}", "a string that is not empty")
        return literal

    def written(self, raw: Raw, path: str) -> str:
        """A value as the text that it is in the JSON."""
        try:
            return bytes(raw).decode()
        except UnicodeDecodeError:
            raise self.wrong(path, "text in UTF-8") from None

    def value(self, raw: Raw, path: str) -> Any:
        try:
            return _decode(raw)
        except REFUSED:
            raise self.wrong(path, "JSON that can be read") from None

    def number(self, raw: Raw, path: str) -> float:
        value = self.value(raw, path)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(path, "a number")
        return value

    def cap(self, members: Members) -> int | None:
        """The smaller one of a Chat request's output caps."""
        caps = []
        for name in ("max_completion_tokens", "max_tokens"):
            if (raw := members.get(name)) is not None:
                value = self.value(raw, name)
                if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                    raise self.wrong(name, "a whole number of at least 1")
                caps.append(value)
        return min(caps, default=None)

    def strings(self, raw: Raw, path: str) -> list[str]:
        """A list of strings, or one."""
        value = self.value(raw, path)
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise self.wrong(path, "a string or a list of strings")
        return found

    def needed(self, members: Members, name: str) -> Raw:
        """A member without which there is no request."""
        if (raw := members.get(name)) is None:
            raise self.wrong(name, "there: a list of at least one message")
        return raw

    def rest(self, members: Object, known: frozenset[str], path: str) -> None:
        """Whatever of an object is not known is an offer that is declined, unless it says nothing."""
        if members.keys() <= known:
            return
        for name, value in members.items():
            if name not in known and bytes(value) not in NOTHING:
                self.decline(f"{path}.{name}")
