"""A caller's trace: read, told apart from none, and passed on with a span of ours as the parent."""

import pytest

from usage.trace import is_sampled, onward, span_ids, trace_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
LINES = f"traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=b\r\n".encode()


def test_trace_is_that_of_the_header() -> None:
    """Its id, the caller's span and the flags."""
    assert trace_of(LINES) == f"{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    "lines",
    [b"", b"tracestate: a=b\r\n", LINES.replace(TRACE.encode(), b"0" * 32), LINES.replace(PARENT.encode(), b"0" * 16)],
    ids=["nothing", "state alone", "no trace", "no parent"],
)
def test_trace_of_zeros_or_of_no_header_is_none(lines: bytes) -> None:
    """As W3C has it."""
    assert trace_of(lines) == ""
    assert not is_sampled("")


@pytest.mark.parametrize(("flags", "is_wanted"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)])
def test_trace_is_sampled_by_its_lowest_flag(flags: str, is_wanted: bool) -> None:
    """The other flags say other things."""
    assert is_sampled(f"{TRACE}-{PARENT}-{flags}") == is_wanted


def test_trace_goes_on_with_the_span_of_our_call() -> None:
    """The parent's id is another, and nothing else is; the spans of a generation follow from its id."""
    server, client = span_ids("gen-1")
    assert (len(server), len(client), server != client) == (16, 16, True)
    assert onward(LINES, "gen-1") == LINES.replace(PARENT.encode(), client.encode())
    assert span_ids("gen-1") != span_ids("gen-2")
