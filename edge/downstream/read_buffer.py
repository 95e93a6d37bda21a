"""Bytes of a connection that the parser has not been given yet, in pieces that reach no further than one request's end.

Why: the parser reads whatever it is given to its end, so a read of 250 kB would become 14,000 requests in memory. What waits here
waits as bytes, and is parsed when the request before it is answered.
Rule: a head ends with an empty line, and so does a chunked body; a body of known length ends where its length says. Where a
request ends is the parser's finding all the same: a piece that is cut too short costs another call, and one that reaches into a
second request is refused by the reader, so a wrong cut can never shift the framing.
"""

EMPTY_LINE = b"\r\n\r\n"


class ReadBuffer:
    """`waiting_bytes` is what waits."""

    __slots__ = ("_at", "_data", "_tail", "waiting_bytes")

    def __init__(self) -> None:
        self.waiting_bytes = 0
        self._data = b""
        self._at = 0
        self._tail = b""
        """The last bytes that were handed out, as far as they may begin an empty line."""

    def append(self, data: bytes) -> None:
        """More bytes came."""
        if self.waiting_bytes:
            data = self._data[self._at :] + data
        self._data, self._at, self.waiting_bytes = data, 0, len(data)

    def clear(self) -> None:
        self._data, self._at, self.waiting_bytes = b"", 0, 0

    def take_body(self, body_bytes_max: int) -> bytes:
        """At most so many bytes of a body of known length."""
        self._tail = b""
        return self._take(min(self._at + body_bytes_max, len(self._data)))

    def take_through_empty_line(self, bytes_max: int) -> bytes:
        """Everything through the next empty line, or all there is; at most `bytes_max`."""
        data, at, tail = self._data, self._at, self._tail
        end = -1
        if tail:
            found = (tail + data[at : at + 3]).find(EMPTY_LINE)
            if found >= 0:
                end = at + found + len(EMPTY_LINE) - len(tail)
        if end < 0:
            most = min(at + bytes_max, len(data))
            found = data.find(EMPTY_LINE, at, most)
            end = found + len(EMPTY_LINE) if found >= 0 else most
        self._tail = b"" if found >= 0 else (tail + data[max(at, end - 3) : end])[-3:]
        return self._take(end)

    def _take(self, end: int) -> bytes:
        data, at = self._data, self._at
        self.waiting_bytes = len(data) - end
        if self.waiting_bytes:
            self._at = end
            return data[at:end]
        self._data, self._at = b"", 0
        return data if at == 0 else data[at:]
