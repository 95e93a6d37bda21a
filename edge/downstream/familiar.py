"""The head of the request before, by which the next one is known without being parsed.

A client that keeps its connection sends the same head again and again, but for the number in its content-length. What is byte for
byte a head that was read means what that one meant, so a comparison takes the parser's place, and what the application found in
it holds again (`Head.facts`): an eighth of a request's price.
Rule: only where the parser stands between two requests, and that is counted, not guessed: each read so far was a request with
the whole of its head, or went on with its body. Any other read ends the counting, and with it all of this, for the connection.
Limits: POST over HTTP/1.1 with one content-length and no other framing, on a connection that stays; HEAD_BYTES_MAX and
BODY_BYTES_MAX. A connection whose heads differ from each other is given up after TRIES_MAX.
"""

import re
from typing import Any

import msgspec
from starlette.types import Scope

HEAD_BYTES_MAX = 4_096
BODY_BYTES_MAX = 65_536
TRIES_MAX = 4
DIGITS_MAX = 9
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})(?=\r\n)", re.IGNORECASE)
_FRAMING = frozenset((b"expect", b"transfer-encoding", b"upgrade"))


class Head(msgspec.Struct, eq=False):
    """A head in two pieces around the digits of its content-length, and the scope that was made of it."""

    before: bytes
    after: bytes
    length_at: int
    """Where in the scope's headers content-length is."""
    scope: Scope
    facts: Any = None
    """What the application notes here is here again when the same caller sends the same head."""

    def scope_of(self, data: bytes) -> tuple[Scope, bytes, int] | None:
        """If `data` is this head and a body, or the beginning of one: the scope, without its `extensions`; what is there of the
        body; and how many bytes are still to come."""
        before, after = self.before, self.after
        if not data.startswith(before):
            return None
        start = len(before)
        end = data.find(b"\r", start, start + DIGITS_MAX + 1)
        length = data[start:end]
        if not data.startswith(after, end) or not length.isdigit():
            return None
        body = data[end + len(after) :]
        body_bytes = int(length)
        if len(body) > body_bytes or body_bytes > BODY_BYTES_MAX:
            return None
        headers = self.scope["headers"].copy()
        headers[self.length_at] = (b"content-length", length)
        return {**self.scope, "headers": headers}, body, body_bytes - len(body)

    def is_like(self, other: "Head") -> bool:
        return self.before == other.before and self.after == other.after


class Heads:
    """Counts where the parser stands, and keeps the last head."""

    __slots__ = ("_owed_bytes", "_tries", "last")

    def __init__(self) -> None:
        self.last: Head | None = None
        self._owed_bytes = 0
        """Of the body that is being read; 0 between requests, negative when the count is lost."""
        self._tries = 0

    def find(self, data: bytes) -> tuple[Scope, bytes, int] | None:
        """What `data` is (see `Head.scope_of`) if it begins with the last head. Only between requests."""
        if self.last is None or self._owed_bytes:
            return None
        found = self.last.scope_of(data)
        if found is not None:
            self._tries = 0
        return found

    def lose(self) -> None:
        """A read began or ended amid what another one brought: the count is lost for good."""
        self.last, self._owed_bytes = None, -1

    def note(self, data: bytes, scope: Scope | None, is_whole: bool) -> None:
        """The parser was given `data`. `scope`: of the request that began in it, if one did; `is_whole`: that or the one before
        has come to its end."""
        if self._owed_bytes < 0:
            return
        if self._owed_bytes:
            self._owed_bytes -= len(data)
        else:
            self._tries += 1
            found = learn(data, scope) if scope is not None and self._tries <= TRIES_MAX else None
            head, self._owed_bytes = found or (None, -1)
            if head is not None and self.last is not None and head.is_like(self.last):
                self._tries = 0
            else:
                self.last = head
        if is_whole != (self._owed_bytes == 0):
            self.lose()


def learn(data: bytes, scope: Scope) -> tuple[Head, int] | None:
    """The head at the beginning of `data`, and how many bytes of its body are still to come; None when it is not that plain."""
    end = data.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX) + 4
    names = [name for name, _ in scope["headers"]]
    length = _LENGTH.search(data, 0, end)
    if length is None or names.count(b"content-length") != 1 or not _FRAMING.isdisjoint(names) or scope["method"] != "POST":
        return None
    if data.count(b"\n", 0, end) != data.count(b"\r\n", 0, end):
        return None  # a parser might see the end of the head elsewhere
    owed_bytes = end + int(length[1]) - len(data)
    kept = {name: value for name, value in scope.items() if name != "extensions"}
    head = Head(data[: length.start(1)], data[length.end(1) : end], names.index(b"content-length"), kept)
    return (head, owed_bytes) if owed_bytes >= 0 else None
