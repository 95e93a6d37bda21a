"""What this process may take of its machine: file descriptors and memory, as the system says; and the bounds that follow.

Rule: a caller's connection may need a second descriptor, its provider's; so callers get less than half, and the journal, the
collector's link and the store always find one. Rule: idle connections may fill an eighth of the memory.
"""

import os
import resource
from pathlib import Path

import msgspec

DESCRIPTORS_RESERVED = 64
DESCRIPTORS_MAX = 1 << 17
"""More are of no use to one process; some systems say "unlimited"."""
CONNECTIONS_MIN = 16
CONNECTIONS_MAX = 65_536
CONNECTION_BYTES = 8_192
"""Of an idle connection, measured: 6.3 kB with its parser and transport."""
MEMORY_SHARE_OF_IDLE = 8
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_CGROUP_TIME = Path("/sys/fs/cgroup/cpu.max")


class AccountLoad(msgspec.Struct, eq=False):
    """By one account: its requests under way, and the bytes of their bodies. `edge.relay.body` counts."""

    account: str
    requests: int = 0
    body_bytes: int = 0


def raise_descriptors() -> int:
    """Raise the soft limit of open files to the hard one; what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS refuses more than its kernel's own bound
            return soft
        return wanted
    return DESCRIPTORS_MAX if soft == resource.RLIM_INFINITY else soft


def memory_bytes() -> int:
    """What this process may use: the container's limit, or the machine's memory."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _CGROUP_LIMITS:
        try:
            text = path.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return min(int(text), machine)
    return machine


def processors() -> float:
    """How many this process may use at once: those it may run on, or its container's share of their time."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    try:
        quota, period = _CGROUP_TIME.read_text(encoding="ascii").split()
        return min(count, int(quota) / int(period))
    except (OSError, ValueError):  # "max" is no bound
        return count


def connections_max(descriptors: int, memory: int) -> int:
    """How many callers' connections there may be."""
    by_descriptors = (descriptors - DESCRIPTORS_RESERVED) // 2
    by_memory = memory // MEMORY_SHARE_OF_IDLE // CONNECTION_BYTES
    return max(min(by_descriptors, by_memory, CONNECTIONS_MAX), CONNECTIONS_MIN)
