"""Fixtures that every test may use."""

import pytest
from hypothesis import HealthCheck, settings


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, the loop that serves."""
    return "asyncio"


# A busy machine must not turn a property into a stop-watch.
settings.register_profile("tollway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tollway")
