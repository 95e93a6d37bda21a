"""The callers' side of the wire: an ASGI server for HTTP/1.1 on the event loop's own thread.

Strategy: granian hands each request from its threads to ours and back; on a machine with a core or two those hand-overs cost more
than everything we do with the request (bench/RESULTS.md has both). Here callers and providers share one thread, and a chunk goes
from one socket to the other within one callback. `granian proxy:app` serves the same application where HTTP/2 or TLS is wanted;
both pass one contract suite.
Limits: HTTP/1.1 and 1.0, no TLS, no upgrades: it stands behind a load balancer. Linux and macOS.
"""
