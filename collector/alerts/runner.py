"""The thread that lets alerts see how things are, and sends what they tell; one in each collector process.

Rule: nothing of it waits for, or holds up, a request. What goes wrong is logged once a minute and tried again.
"""

import logging
import threading
import time
from collections.abc import Callable

from collector.alerts.delivery import deliver_due
from collector.alerts.tables import is_due, step
from collector.store.contract import Store, StoreUnavailable

PERIOD_S = 2.0
STOP_S_MAX = 5.0
log = logging.getLogger("tollway.alerts")


class AlertRunner:
    """`start` once, `stop` before the store is closed."""

    def __init__(self, store: Store, clock_ms: Callable[[], int], period_s: float = PERIOD_S) -> None:
        self._store = store
        self._clock_ms = clock_ms
        self._period_s = period_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self._logged_s = float("-inf")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """A delivery under way is let end for a while; what it leaves is sent again after its claim."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S_MAX)

    def tick(self) -> None:
        """One look and one round of deliveries."""
        now_ms = self._clock_ms()
        if self._store.read(lambda tx: is_due(tx, now_ms)):
            self._store.write(lambda tx: step(tx, now_ms))
        deliver_due(self._store, now_ms)

    def _run(self) -> None:
        while not self._stopped.wait(self._period_s):
            try:
                self.tick()
            except StoreUnavailable as error:
                self._say("the database is away: %s", error)
            except Exception:
                # The outer ring of this thread: an alert that cannot be told must not end all others.
                self._say("alerts failed", exc_info=True)

    def _say(self, text: str, *args: object, exc_info: bool = False) -> None:
        if time.monotonic() - self._logged_s >= 60:
            self._logged_s = time.monotonic()
            log.error(text, *args, exc_info=exc_info)
