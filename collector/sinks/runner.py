"""The thread that empties the outbox of one sink.

Rule: what a sink refuses for good is found by halves, so that one bad fact is a dead letter and its neighbours pass. What cannot
be told now waits, longer each time up to BACKOFF_S_MAX, and is said once a minute.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence

from collector.sinks import outbox
from collector.sinks.contract import Sink, SinkEvent, SinkRejected, Unavailable
from collector.sinks.events import event_of
from collector.store.contract import Store, StoreUnavailable
from usage.decoding import UNREADABLE, reason_of

PERIOD_S = 1.0
RecordedEvent = tuple[SinkEvent, str]
"""An event, and the record that it was made of."""
BACKOFF_S, BACKOFF_S_MAX = 1.0, 60.0
STOP_S_MAX = 5.0
log = logging.getLogger("tollway.sinks")


class SinkRunner:
    """`start` once, `stop` before the store is closed. `published` counts events that were taken."""

    def __init__(self, store: Store, sink: Sink, clock_ms: Callable[[], int], period_s: float = PERIOD_S) -> None:
        self.sink = sink
        self.published = 0
        self.is_full = False
        """Whether facts are only counted for now; looked at with every round."""
        self.problem = ""
        self._store = store
        self._clock_ms = clock_ms
        self._period_s = period_s
        self._failures = 0
        self._stopped = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink-{sink.name}", daemon=True)
        self._logged_s = float("-inf")

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Something was written."""
        self._woken.set()

    def stop(self) -> None:
        self._stopped.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S_MAX)

    def step(self) -> bool:
        """Publish one row; False when there is none. Unavailable: it waits in the outbox."""
        now_ms = self._clock_ms()
        row = self._store.write(lambda tx: outbox.claim(tx, self.sink.name, now_ms))
        if row is None:
            return False
        dead: list[str] = []
        try:
            events, reason = self._readable(row.payloads, dead)
            reason = self._publish(events, dead) or reason
        except Unavailable:
            self._store.write(lambda tx: outbox.release(tx, row.row_id, now_ms))
            raise
        name = self.sink.name
        if dead:
            log.error("sink %s refuses %d events for good: %s; `tollway sinks list` shows them", name, len(dead), reason)
            self._store.write(lambda tx: outbox.keep_dead(tx, row.row_id, name, dead, reason, now_ms))
        else:
            self._store.write(lambda tx: outbox.done(tx, row.row_id))
        self.published += len(row.payloads) - len(dead)
        return True

    def _readable(self, payloads: Sequence[str], dead: list[str]) -> tuple[list[RecordedEvent], str]:
        """What can be read as a record; what cannot is added to `dead`, for it would hold up all that is behind it."""
        events: list[RecordedEvent] = []
        reason = ""
        for payload in payloads:
            try:
                events.append((event_of(payload), payload))
            except UNREADABLE as error:
                dead.append(payload)
                reason = f"not a usage record: {reason_of(error)}"
        return events, reason

    def _publish(self, events: Sequence[RecordedEvent], dead: list[str]) -> str:
        """Publish what can be; what cannot is added to `dead`. Why, of the last one."""
        if not events:
            return ""
        try:
            self.sink.publish([event for event, _ in events])
        except SinkRejected as error:
            if len(events) == 1:
                dead.append(events[0][1])
                return str(error)
            half = len(events) // 2
            first = self._publish(events[:half], dead)
            return self._publish(events[half:], dead) or first
        return ""

    def _run(self) -> None:
        while not self._stopped.is_set():
            wait_s = self._round()
            awaited = self._stopped if self._failures else self._woken  # what is new does not mend a sink that is away
            awaited.wait(wait_s)
            self._woken.clear()
        self.sink.close()

    def _round(self) -> float:
        """How long to wait before the next one."""
        try:
            self.is_full = self._store.read(lambda tx: outbox.is_full(tx, self.sink.name))
            while self.step() and not self._stopped.is_set():
                self._failures, self.problem = 0, ""
        except (Unavailable, StoreUnavailable) as error:
            return self._failed(str(error), error.wait_s if isinstance(error, Unavailable) else 0.0)
        except Exception as error:
            # The outer ring of this thread: what a library raises that nobody knew must not end the sink for good.
            log.exception("sink %s failed", self.sink.name)
            return self._failed(f"{type(error).__name__}: {error}", 0.0)
        self._failures, self.problem = 0, ""
        return self._period_s

    def _failed(self, problem: str, wait_s: float) -> float:
        self.problem = problem
        self._failures += 1
        if time.monotonic() - self._logged_s >= 60:
            self._logged_s = time.monotonic()
            log.warning("sink %s does not take events now, they wait in the outbox: %s", self.sink.name, problem)
        backoff_s = min(BACKOFF_S * 2 ** min(self._failures - 1, 10), BACKOFF_S_MAX)
        paused_s: float = max(min(wait_s, BACKOFF_S_MAX), backoff_s * random.uniform(0.5, 1.0))
        return paused_s
