"""What the caller is sent when it is not the provider's answer: refusals, in the words of the API called, and response heads."""

from starlette.types import Scope, Send

from routing.plan.refusal import Refusal
from routing.surfaces import ErrorResponse
from routing.surfaces.errors import error_at
from routing.wire.headers import own_request_id
from usage.retry_after import retry_after_header

Headers = list[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json")
REQUEST_ID = "tollway.request_id"
"""In a request's scope, where it does not take the paid path: the id that its answer will have."""
MS_TOLD_S_MAX = 60.0
"""A longer wait is told in seconds alone: SDKs obey none of it."""


def id_headers(gen_id: str, request_id: str) -> Headers:
    """The two ids of a request that is not answered by a provider."""
    return [(b"x-generation-id", gen_id.encode()), (b"x-request-id", request_id.encode())]


async def send_whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """A complete response."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_refusal(send: Send, refusal: Refusal, scope: Scope, more: Headers) -> None:
    """A refusal that no surface came to tell, in the words of whoever calls at that path."""
    request_id = scope.get(REQUEST_ID) or own_request_id(scope["headers"]) or ""
    await send_error(send, refusal, error_at(scope["path"], scope["headers"], refusal, request_id), more)


async def send_error(send: Send, refusal: Refusal, response: ErrorResponse, ids: Headers) -> None:
    """A refusal as the SDKs read it; `retry-after` when waiting helps, and never a retry where it cannot."""
    headers = [JSON_TYPE, *ids, *response.headers]
    own = {name for name, _ in response.headers}
    if refusal.retry_after_s is not None and b"retry-after" not in own:
        headers.append((b"retry-after", retry_after_header(refusal.retry_after_s).encode()))
        if refusal.retry_after_s < MS_TOLD_S_MAX:
            # Which OpenAI's and Anthropic's SDKs read first: who has to wait for 200 ms need not wait for a second.
            headers.append((b"retry-after-ms", b"%d" % max(-int(-refusal.retry_after_s * 1000 // 1), 1)))
    if refusal.status == 415:
        headers.append((b"accept-encoding", b"identity"))
    if refusal.is_hopeless and b"x-should-retry" not in own:
        headers.append((b"x-should-retry", b"false"))
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send_whole(send, response.status, headers, response.body)
