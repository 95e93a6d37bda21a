"""What is no request: the statuses that say so, and the answer that carries one."""

from edge.relay.ids import IdGenerator
from routing.plan.refusal import Refusal
from routing.surfaces.errors import error_at
from usage.retry_after import retry_after_header

HEAD_BYTES_MAX = 65_536
_ANSWERS = {
    400: (b"400 Bad Request", "bad_request", "this is no HTTP/1.1 request that can be read without doubt"),
    408: (b"408 Request Timeout", "request_timeout", "the request did not arrive in time"),
    429: (
        b"429 Too Many Requests",
        "too_many_connections",
        "your address has as many connections to this edge as one may have: close some, or keep them for several requests",
    ),
    431: (
        b"431 Request Header Fields Too Large",
        "headers_too_large",
        f"the head of a request may have {HEAD_BYTES_MAX} bytes: send fewer or shorter headers",
    ),
    503: (b"503 Service Unavailable", "overloaded", "this edge has as many connections as it can serve; try again"),
}
_ids = IdGenerator()


class BadRequest(Exception):
    """Raised in a parser callback: well-formed, and still not what we take for a request."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def refusal(status: int, date: bytes, target: bytes) -> bytes:
    """The whole answer, in the words of the API that was called as far as its target was read; the connection is closed behind
    it."""
    line, code, message = _ANSWERS[status]
    path = target.decode("latin-1").partition("?")[0]
    body = error_at(path, [], Refusal(status, code, message)).body
    head = (
        b"HTTP/1.1 %b\r\n%bcontent-type: application/json\r\nx-request-id: req-%b\r\n"
        b"%bcontent-length: %d\r\nconnection: close\r\n\r\n"
    )
    retry = b"retry-after: %b\r\n" % retry_after_header(1.0).encode() if status in (429, 503) else b""
    return head % (line, date, _ids.draw().encode(), retry, len(body)) + body
