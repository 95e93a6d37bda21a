"""Runs `tollway` with some of its speed-ups taken out, so that only the plain route is left: for ablations, and for tests.

Rule: a speed-up that is a second route for bytes or money has a switch here, and a row in `bench/RESULTS.md` that shows what it
is worth (`scripts/bench --ablations`). Strategy: each such route can decline and leave the work to the plain one; taken out, it
always declines.
Usage: `python -m bench.plain NAME[,NAME] serve`, or `apply` in a process of one's own.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any


def _no_pour(patch: Callable[[Any, str, Any], None]) -> None:
    from edge.relay.response.stream import StreamForwarder

    patch(StreamForwarder, "_pour", lambda self, data: False)


def _no_swap(patch: Callable[[Any, str, Any], None]) -> None:
    from routing.rewrite.chat.stream import StreamRewrite

    patch(StreamRewrite, "swap", lambda self, data: b"")


def _no_paid(patch: Callable[[Any, str, Any], None]) -> None:
    from edge import process

    patch(process, "paid_paths", lambda node: {})


def _not_watched(patch: Callable[[Any, str, Any], None]) -> None:
    """Not a speed-up, but a price: limits, the `gen_ai` figures, the request's log line, `server-timing`."""
    from edge.limits.limiter import RateLimiter
    from edge.relay.generation import Generation
    from edge.telemetry.gen_ai import GenAi
    from edge.telemetry.observers import Observers

    patch(RateLimiter, "applies", lambda self, policy, config: False)
    patch(Generation, "timing", lambda self, timing=(b"server-timing", b"edge;dur=0"): timing)
    patch(GenAi, "count", lambda self, records: None)
    patch(Observers, "on_record", None)


SWITCHES: dict[str, Callable[[Callable[[Any, str, Any], None]], None]] = {
    "pour": _no_pour,
    "swap": _no_swap,
    "paid": _no_paid,
    "watched": _not_watched,
}


def apply(names: Iterable[str], patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """Take these speed-ups out of this process. `patch` sets an attribute; a test's monkeypatch puts it back afterwards."""
    for name in names:
        SWITCHES[name](patch)


def main() -> int:
    import proxy

    names, *sys.argv[1:] = sys.argv[1:]
    apply(filter(None, names.split(",")))
    return proxy.main()


if __name__ == "__main__":
    sys.exit(main())
