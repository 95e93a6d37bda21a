"""The line per request: what is in it, what never is, its levels and its two forms."""

import io
import json

import msgspec
import pytest

from edge.telemetry.request_log import WAITING_MAX, RequestLine, RequestLog, form_of, level_of, line_of, sentence_of
from tests.collector.facts import Caller, make_fact
from usage.record import UsageRecord

CALLER = Caller("sk_secret", "digest", "k1", "acme", "acme")


def record(**changes: object) -> UsageRecord:
    return msgspec.structs.replace(make_fact(1, CALLER, "n", 1, "one"), **changes)


def test_line_is_the_allowlist_of_the_record() -> None:
    """One JSON object with what is listed; nothing that a caller or a provider wrote freely, and no key."""
    line = line_of(record(user_agent="my secret agent", upstream_id="their-id", request_id="req-1", latency_ms=40))
    assert b"\n" not in line
    told = json.loads(line)
    assert set(told) <= set(RequestLine.__struct_fields__)
    assert (told["account"], told["status"], told["prompt_tokens"], told["request_id"]) == ("acme", 200, 10, "req-1")
    assert b"secret" not in line
    assert b"their-id" not in line


@pytest.mark.parametrize(
    ("end_reason", "level"),
    [
        ("completed", "info"),
        ("cancelled", "info"),
        ("credit_limit", "info"),
        ("truncated", "warning"),
        ("orphaned", "warning"),
        ("upstream_error", "warning"),
        ("timeout", "warning"),
        ("proxy_error", "error"),
    ],
)
def test_level_says_whose_trouble_it_was(end_reason: str, level: str) -> None:
    assert level_of(record(end_reason=end_reason)) == level


def test_least_level_and_forms() -> None:
    """`warning` leaves out what went well; text is one sentence; `auto` is JSON where nobody sits."""
    out = io.StringIO()
    log = RequestLog("text", "warning", out)
    log.put(record())
    log.put(record(end_reason="timeout", error="timeout_idle", status=504))
    log.write()
    assert out.getvalue() == sentence_of(record(end_reason="timeout", error="timeout_idle", status=504)) + "\n"
    assert "504 echo/small" in out.getvalue()
    assert "timeout timeout_idle" in out.getvalue()
    assert form_of("auto", out) == "json"


def test_log_that_nobody_reads_is_bounded() -> None:
    """What cannot be written in time is dropped and counted."""
    log = RequestLog("json", out=io.StringIO())
    for _ in range(WAITING_MAX + 3):
        log.put(record())
    assert log.dropped_total == 3
