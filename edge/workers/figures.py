"""The workers' figures as one: their expositions added up.

Rule: counters, histograms and gauges of several processes of one machine are sums (open requests, resident bytes, how many are
ready). Where a sum makes no sense (a lag, an age) the largest one stands for the machine; the smallest of what is left.
Limits: exemplars are left out; each belongs to one process. Source: the Prometheus text exposition format, OpenMetrics 1.0.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping

LARGEST = (
    "_lag_seconds",
    "_failing_seconds",
    "_unshipped_seconds",
    "_silent_seconds",
    "_timestamp_seconds",
    "_away",
    "_age_seconds",
    "_time_seconds",
    "_seconds_max",
    "_info",
    "_version",
)
SMALLEST = ("_seconds_min", "_reload_success")
END = "# EOF"
ANSWER_BYTES_MAX = 16 << 20
ANSWER_S_MAX = 5.0
NO_HEADERS: Mapping[str, str] = {}


def add_up(texts: Iterable[str]) -> str:
    """One exposition of several. A metric's comments and series stay together, in the order in which they were first seen."""
    families: defaultdict[str, dict[str, float | None]] = defaultdict(dict)
    has_end = False
    for text in texts:
        family = ""
        for line in text.splitlines():
            if line == END:
                has_end = True
            elif line.startswith("#"):
                words = line.split(" ", 3)
                family = words[2] if len(words) > 2 else family
                families[family].setdefault(line, None)
            elif line:
                series, value = _parted(line)
                name = series.partition("{")[0]
                lines = families[family if family and name.startswith(family) else name]
                lines[series] = _joined(name, lines.get(series), value)
    written = [
        line if value is None else f"{line} {_spelled(value)}" for lines in families.values() for line, value in lines.items()
    ]
    return "".join(f"{line}\n" for line in [*written, *([END] if has_end else [])])


def _parted(line: str) -> tuple[str, float]:
    """(series, value) of a sample."""
    series, _, value = line.partition(" # ")[0].rpartition(" ")
    return series, float(value)


def _joined(name: str, seen: float | None, value: float) -> float:
    if seen is None:
        return value
    if name.endswith(SMALLEST):
        return min(seen, value)
    return max(seen, value) if name.endswith(LARGEST) else seen + value


def _spelled(value: float) -> str:
    return str(int(value)) if abs(value) < 1e18 and value == int(value) else repr(value)


async def fetch(
    port: int, path: str, method: str = "GET", *, headers: Mapping[str, str] = NO_HEADERS, within_s: float = ANSWER_S_MAX
) -> tuple[int, bytes]:
    """Ask a worker on this machine: (status, body); (0, b"") when nothing comes in time."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    length = "content-length: 0\r\n" if method == "POST" else ""
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=ANSWER_BYTES_MAX)
            try:
                asked = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{lines}{length}\r\n"
                writer.write(asked.encode())
                answer = await reader.read(-1)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return 0, b""
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    return (int(words[1]), body) if len(words) > 1 and words[1].isdigit() else (0, b"")
