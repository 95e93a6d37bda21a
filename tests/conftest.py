"""Fixtures that every test may use."""

import faulthandler
import os
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, the loop that serves."""
    return "asyncio"


# A busy machine must not turn a property into a stop-watch.
settings.register_profile("tollway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("few", settings.get_profile("tollway"), max_examples=20)
settings.load_profile(os.environ.get("TOLLWAY_TEST_EXAMPLES", "tollway"))
"""`few`, of scripts/coverage, is enough to run each line."""


HANG_S = float(os.environ.get("TOLLWAY_TEST_HANG_S", "90"))
"""After its `timeout` (pyproject.toml, or a mark) has failed a test it may hang again while it is torn down, where pytest-timeout
looks no more: so long after it the run ends, with the stacks of all threads. To collect the tests is no test, and takes minutes
on a slow machine: the watch begins behind it. Long forms of tests bring their own limits (`-m deep`)."""
_test = "the run's beginning"
_ends_s = 0.0


def _watch(stderr_fd: int) -> None:
    while time.monotonic() < _ends_s:
        time.sleep(1.0)
    with os.fdopen(stderr_fd, "w") as stderr:
        stderr.write(f"{_test}, or its end, hangs {HANG_S:g} s after its time-out: the run ends here\n")
        faulthandler.dump_traceback(file=stderr)
        stderr.flush()
    os._exit(1)


def pytest_collection_finish(session: pytest.Session) -> None:
    global _ends_s
    _ends_s = time.monotonic() + HANG_S
    if "not deep" in session.config.option.markexpr:
        threading.Thread(target=_watch, args=(os.dup(2),), daemon=True).start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Each test begins the time anew, with what it has for itself."""
    global _test, _ends_s
    mark = item.get_closest_marker("timeout")
    timeout_s = float(mark.args[0] if mark is not None else item.config.getini("timeout"))
    _test, _ends_s = item.nodeid, time.monotonic() + timeout_s + HANG_S
    return (yield)
