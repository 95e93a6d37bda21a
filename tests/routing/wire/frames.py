"""AWS' eventstream frames as a service writes them; written a second time, so that the reader is not tried against itself."""

import json
import struct
from typing import Any
from zlib import crc32


def encoded(headers: dict[str, str], payload: bytes) -> bytes:
    head = b"".join(
        [
            struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
            for name, value in headers.items()
        ]
    )
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack(">I", crc32(prelude)) + head + payload
    return body + struct.pack(">I", crc32(body))


def frame(name: str, payload: Any) -> bytes:
    """One event."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return encoded(headers, json.dumps(payload, separators=(",", ":")).encode())


def exception(name: str, payload: Any) -> bytes:
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return encoded(headers, json.dumps(payload).encode())
