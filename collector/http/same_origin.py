"""Whether a request that a browser sent comes from a page of ours: what keeps other sites from acting with a visitor's cookie."""

from starlette.requests import Request


def is_same_origin(request: Request) -> bool:
    """Whether no page of another site sent this: a browser says where a request comes from, what is no browser says nothing.

    The rule of Go 1.25's CrossOriginProtection: `Sec-Fetch-Site`, else an Origin whose host is the one that was asked.
    """
    site = request.headers.get("sec-fetch-site", "")
    if site:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin", "")
    return not origin or origin.partition("://")[2] == request.headers.get("host", "")
