"""The body of a request, up to a size; what is larger is not read to its end."""

from starlette.requests import Request


async def read_body(request: Request, bytes_max: int) -> bytes | None:
    """All of it; None when it has more than `bytes_max` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            return None
    return bytes(body)
