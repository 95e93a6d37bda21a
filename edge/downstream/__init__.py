"""The callers' side of the wire: an ASGI server for HTTP/1.1 on the event loop's own thread.

Strategy: granian hands each request from its threads to ours and back, with a fight for the interpreter's lock each time. Here
callers and providers share one thread, and a chunk goes from one socket to the other within one callback: less CPU, and less than
half the memory per open stream (bench/RESULTS.md has both). Granian serves the same application where HTTP/2 or TLS is wanted,
and is the oracle: both pass one contract suite, as our client of providers and httpx do.
Limits: HTTP/1.1 and 1.0, no TLS, no upgrades: it stands behind a load balancer. Linux and macOS.
"""

PUSH = "tollway.push"
"""The ASGI extension that takes the middle of a stream without a coroutine: `scope["extensions"][PUSH]` is `Request.push`."""
