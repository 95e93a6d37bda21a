"""What a process may take of its machine, and the bounds that follow."""

import resource
import subprocess
import sys

import pytest

from edge.downstream.admission import is_within
from edge.limits.capacity import CONNECTIONS_MAX, CONNECTIONS_MIN, connections_max, memory_bytes
from edge.settings import PRIVATE_NETWORKS

MIB = 1 << 20


@pytest.mark.parametrize(
    ("descriptors", "memory", "bound"),
    [
        (256, 8 << 30, 96),
        (1_024, 8 << 30, 480),
        (1 << 17, 8 << 30, CONNECTIONS_MAX - 32),
        (1 << 17, 512 * MIB, 8_192),
        (64, 512 * MIB, CONNECTIONS_MIN),
    ],
)
def test_connections_leave_room_for_providers(descriptors: int, memory: int, bound: int) -> None:
    """Each caller's connection may need a second descriptor, and idle ones take no more than an eighth of the memory."""
    assert connections_max(descriptors, memory) == bound


def test_descriptors_are_raised_to_the_hard_limit() -> None:
    """In a process of its own, because it lasts."""
    code = (
        "import resource as r; from edge.limits.capacity import raise_descriptors;"
        "hard = min(r.getrlimit(r.RLIMIT_NOFILE)[1] % 2**62, 4096); r.setrlimit(r.RLIMIT_NOFILE, (128, hard));"
        "print(raise_descriptors() == hard, r.getrlimit(r.RLIMIT_NOFILE)[0] == hard)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_memory_is_that_of_the_machine_or_less() -> None:
    """The container's limit where there is one."""
    machine = resource.getpagesize() * __import__("os").sysconf("SC_PHYS_PAGES")
    assert 0 < memory_bytes() <= machine


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("::ffff:10.1.2.3", True),
        ("fdaa:0:1::3", True),
        ("172.19.0.2", True),
        ("8.8.8.8", False),
        ("::ffff:8.8.8.8", False),
        ("2001:db8::1", False),
        ("", True),
    ],
)
def test_private_peers_are_trusted_to_bring_many_callers(address: str, expected: bool) -> None:
    """Load balancers and platforms' proxies come from these; nobody on the internet does."""
    assert is_within(address, PRIVATE_NETWORKS) == expected
