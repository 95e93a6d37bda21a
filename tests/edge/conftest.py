"""Fixtures of the tests of the edge."""

from collections.abc import AsyncIterator

import pytest

from edge.upstream import Upstream
from edge.upstream.httpx_transport import HttpxUpstream
from edge.upstream.pool import NativeUpstream


@pytest.fixture(params=[NativeUpstream, HttpxUpstream])
async def upstream(request: pytest.FixtureRequest) -> AsyncIterator[Upstream]:
    """Each upstream transport in turn; when the test is over it is closed and must have nothing open."""
    transport: Upstream = request.param()
    yield transport
    await transport.aclose()
    assert transport.stats().open == 0
