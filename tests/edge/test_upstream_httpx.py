"""The httpx transport alone: its table of foreign exceptions, and HTTP/2's place."""

import ssl
import subprocess
import sys

import httpx
import pytest

from edge.upstream.httpx_transport import FAULTS, FOREIGN, explain
from routing.failure import Kind


def test_faults_complete() -> None:
    """Every exception that httpx exports has its row in the table, and is caught."""
    exported = {value for value in vars(httpx).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert exported == set(FAULTS)
    assert all(issubclass(exception, FOREIGN) for exception in exported)


def test_fault_of_new_subclass() -> None:
    """An exception that httpx may add later is treated as the nearest one known."""

    class ResumeError(httpx.ReadError):
        pass

    assert explain(ResumeError("")) is Kind.BROKEN


@pytest.mark.parametrize(("cause", "kind"), [(ssl.SSLCertVerificationError("x"), Kind.TLS), (OSError("x"), Kind.CONNECT)])
def test_fault_of_connect_by_cause(cause: Exception, kind: Kind) -> None:
    """httpx says ConnectError for both; what lies beneath decides."""
    error = httpx.ConnectError("x")
    error.__cause__ = cause
    assert explain(error) is kind


def test_native_without_httpx() -> None:
    """The native transport does not load httpx: an edge that needs none does not pay for it."""
    program = "import sys, edge.upstream.pool; sys.exit('httpx' in sys.modules or 'anyio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
