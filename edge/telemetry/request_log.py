"""One line per request that a provider was asked for, from its record: JSON, or on a terminal as a person reads it.

Rule: what is written is in RequestLine; never a prompt, a key, a header or a text that a caller chose, but its request id.
Rule: the line is written from the record when it is settled, by a thread that is not the event loop's: a request pays an append.
Limits: what the thread cannot write in time is dropped beyond WAITING_MAX lines, and counted.
"""

import logging
import sys
import threading
from collections import deque
from operator import attrgetter
from typing import Any, Final, TextIO

import msgspec

from usage.pricing import dollars
from usage.record import UsageRecord

WAITING_MAX: Final = 20_000
EVERY_S: Final = 0.2
log = logging.getLogger("tollway.requests")
_encode = msgspec.json.Encoder().encode


class RequestLine(msgspec.Struct, omit_defaults=True, gc=False):
    """The allowlist: what a line may say, and in this order."""

    time_ms: int
    level: str
    event: str
    gen_id: str
    status: int
    model: str
    provider: str
    surface: str
    prompt_tokens: int
    completion_tokens: int
    cost: str
    latency_ms: int
    ttft_ms: int
    stream: bool
    attempts: int
    end_reason: str
    account: str
    key_id: str
    request_id: str
    upstream_model: str
    usage_source: str
    node: str
    finish_reason: str = ""
    error: str = ""
    tier: str = ""
    trace: str = ""
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


_before_cost = attrgetter("gen_id", "status", "model", "provider", "surface", "tokens.prompt", "tokens.completion")
_after_cost = attrgetter(
    *("latency_ms", "ttft_ms", "stream", "attempts", "end_reason", "account", "key_id", "request_id", "upstream_model"),
    *("usage_source", "node", "finish_reason", "error", "tier", "trace"),
    *("tokens.cached", "tokens.cache_write", "tokens.reasoning"),
)


def line_of(record: UsageRecord) -> bytes:
    """The record as a line of JSON. What is nobody's fault is `info`, an answer that failed `warning`, ours `error`."""
    ended_ms, cost = record.started_ms + record.latency_ms, dollars(record.cost_nano)
    values: Any = (ended_ms, level_of(record), "request", *_before_cost(record), cost, *_after_cost(record))
    return _encode(RequestLine(*values))


def level_of(record: UsageRecord) -> str:
    if record.end_reason == "completed":
        return "info"
    if record.end_reason == "proxy_error":
        return "error"
    return "warning" if record.fault else "info"


def sentence_of(record: UsageRecord) -> str:
    """The record as a person reads it."""
    tokens = record.tokens
    said = f"{record.status} {record.model} {record.latency_ms} ms, {tokens.prompt}+{tokens.completion} tokens"
    end = "" if record.end_reason == "completed" else f", {record.end_reason} {record.error}".rstrip()
    return f"{said}, ${dollars(record.cost_nano)}{end} ({record.account}, {record.gen_id})"


class RequestLog:
    """`put` each record; `start` the thread that writes. `form` is "json", "text" or "off"; `level` the least that is written."""

    LEVELS: Final = ("info", "warning", "error")

    def __init__(self, form: str, level: str = "info", out: TextIO | None = None) -> None:
        self._form = form
        self._least = self.LEVELS.index(level)
        self._out = out or sys.stdout
        self._waiting: deque[UsageRecord] = deque()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_over = False
        self.dropped_total = 0

    @property
    def is_on(self) -> bool:
        return self._form != "off"

    def put(self, record: UsageRecord) -> None:
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append(record)
        else:
            self.dropped_total += 1

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits."""
        self._is_over = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def _run(self) -> None:
        while not self._is_over:
            self._wake.wait(EVERY_S)
            self.write()
        self.write()

    def write(self) -> None:
        """What waits, in one piece."""
        lines = []
        while self._waiting:
            record = self._waiting.popleft()
            if not self._least or self.LEVELS.index(level_of(record)) >= self._least:
                lines.append(line_of(record).decode() if self._form == "json" else sentence_of(record))
        if lines:
            try:
                self._out.write("\n".join(lines) + "\n")
                self._out.flush()
            except (OSError, ValueError):
                self.dropped_total += len(lines)


def form_of(setting: str, out: TextIO | None = None) -> str:
    """`auto`: text for a person at a terminal, JSON for what collects logs."""
    if setting != "auto":
        return setting
    return "text" if (out or sys.stdout).isatty() else "json"
