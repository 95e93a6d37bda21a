"""What is no request: the statuses that say so, and the answer that carries one."""

import json

HEAD_BYTES_MAX = 65_536
_ANSWERS = {
    400: (b"400 Bad Request", "this is no HTTP/1.1 request that can be read without doubt"),
    408: (b"408 Request Timeout", "the head of the request did not arrive in time"),
    431: (b"431 Request Header Fields Too Large", f"the head of a request may have {HEAD_BYTES_MAX} bytes"),
    503: (b"503 Service Unavailable", "this edge has as many connections as it can serve; try again"),
}


class Wrong(Exception):
    """Raised in a parser callback: well-formed, and still not what we take for a request."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def refusal(status: int, date: bytes) -> bytes:
    """The whole answer, in OpenAI's error shape; the connection is closed behind it."""
    line, message = _ANSWERS[status]
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "bad_request"}
    body = json.dumps({"error": error}).encode()
    head = b"HTTP/1.1 %b\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (line, date, len(body)) + body
