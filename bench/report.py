"""The session as Markdown: method and limits first, then medians, then ratios within the run, then what went wrong."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.load import Plain
from bench.measure import CONCURRENT, DIRECT, EVEN_RATES, PACED_EACH_ROUND, STREAMS_PACED, Measured, Session, machine_of
from bench.mock import CHUNKS, GAP_S

YARDSTICKS = ("Envoy", "Portkey")
KEPT_MIN = 0.98
"""A proxy that answers less of a rate than this had another load than the others."""

METHOD = """\
# What a request costs, beside others

Made by `scripts/bench` on {started} ({machine}); raw values in `results.json`, drawn in `results.svg`.

**How.** One session on one machine: the mock provider (nginx with Lua) and every proxy, with one worker each, are started
together; then each load goes to one proxy after another, and the next load follows; rounds: {rounds}, the order turning by
one each time, with {paced_each} turns of paced streams in each. A figure is the median of the turns; a ratio is the median of
each turn's own ratio (beside it the least and the most), because the machine's mood changes from minute to minute. *CPU* is
user plus system time of the proxy's whole process tree, read from /proc, divided by the requests or chunks that arrived
meanwhile. *JSON request*: wrk, {concurrent} connections, a chat request of about 200 bytes, an answer of about 600; as behind
any load balancer, each request has an `x-request-id` and an `x-forwarded-for` of its own. *At {rates} a second*: sent on a
schedule, evenly spaced to the millisecond, so that every proxy gets the same load whatever its latency; one that answers
less than {kept:.0%} of it has no figure. *Flat out*: the next request with each answer, so that
each gets as much as it can take. *Paced chunk*: {streams} streams at once, each of {chunks} chunks, {gap_ms:g} ms apart, a
new one when it ends, so the cost of the request is in it, spread over its chunks. *Added latency*: against the provider asked
directly, at 1 and at {concurrent} at once. *Memory*: RSS (PSS) of the tree after the rounds. *Cold start*: from the start of
the process to the first good answer. *Per open stream*: growth of PSS from before to while that many streams stand silent
after their first chunk, divided by them. *Where the time goes*: by program and library, the shares that perf sampled after
the rounds, times the medians.

**Limits.** Load, provider and proxy share {cores} cores, so latency at {concurrent} at once contains the queue for them, and
absolute figures hold for this machine only; ratios within a run travel better. RSS counts what the processes of a tree share
more than once, PSS splits what is shared with the other proxies of the session; the truth lies between. Memory that the
kernel holds for sockets is in no process's figure. CPU is read in steps of 10 ms. A Python that was built without
profile-guided optimisation (pyenv's default) cost us a tenth more per chunk and three tenths more per request than one built
with it (Debian's). Flat out, the faster a proxy is, the more requests it finds per wake-up and the less wake-ups cost it:
ratios flat out compare different loads. The peers do not do the same work: what each does is in the last column, and only
Tollway authenticates callers, holds credit, journals and charges. Nothing is said here about TLS, other processors, several
workers, or networks.
"""


@dataclass(frozen=True)
class Rounds:
    """CPU microseconds of one peer, round by round: per request by requests a second, per request flat out, per chunk."""

    even: dict[int, list[float]]
    request: list[float]
    chunk: list[float]


@dataclass(frozen=True)
class Summary:
    """Medians of one peer; None where nothing was measured."""

    name: str
    does: str
    cpu_us_even: dict[int, float | None]
    cpu_us_request: float | None
    cpu_us_chunk: float | None
    rounds: Rounds
    added_ms: dict[tuple[int, str], float | None]
    requests_s: float | None
    pss_mb: float | None
    rss_mb: float | None
    cold_start_s: float | None
    kb_per_stream: dict[int, float | None]


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _cpu_us(cpu_s: Sequence[float], plain: Sequence[Plain]) -> list[float]:
    return [seconds * 1e6 / result.requests for seconds, result in zip(cpu_s, plain, strict=True) if result.requests]


def _rate(plain: Sequence[Plain]) -> float:
    return _median([result.requests * 1e6 / result.duration_us for result in plain]) or 0.0


def _even_us(measured: Measured, rate: int) -> list[float]:
    """CPU microseconds per request at that rate, round by round; nothing when it was not kept."""
    plain = measured.even.get(rate, [])
    return _cpu_us(measured.even_cpu_s.get(rate, []), plain) if _rate(plain) >= KEPT_MIN * rate else []


def summarise(measured: Measured, direct: Measured) -> Summary:
    plain = measured.plain.get(CONCURRENT, [])
    rounds = Rounds(
        even={rate: _even_us(measured, rate) for rate in EVEN_RATES},
        request=_cpu_us(measured.plain_cpu_s.get(CONCURRENT, []), plain),
        chunk=[result.cpu_s * 1e6 / result.chunks for result in measured.paced if result.chunks],
    )
    added: dict[tuple[int, str], float | None] = {}
    for at_once in (1, CONCURRENT):
        for name in ("p50_us", "p99_us"):
            ours = _median([getattr(result, name) for result in measured.plain.get(at_once, [])])
            theirs = _median([getattr(result, name) for result in direct.plain.get(at_once, [])])
            added[at_once, name] = None if ours is None or theirs is None else (ours - theirs) / 1e3
    return Summary(
        name=measured.name,
        does=measured.does,
        cpu_us_even={rate: _median(values) for rate, values in rounds.even.items()},
        cpu_us_request=_median(rounds.request),
        cpu_us_chunk=_median(rounds.chunk),
        rounds=rounds,
        added_ms=added,
        requests_s=_rate(plain) or None,
        pss_mb=measured.loaded.pss_kb / 1024 if measured.loaded else None,
        rss_mb=measured.loaded.rss_kb / 1024 if measured.loaded else None,
        cold_start_s=_median(measured.cold_start_s),
        kb_per_stream={
            streams: (held.during.pss_kb - held.before.pss_kb) / held.opened if held.opened >= streams * 0.99 else None
            for streams, held in measured.held.items()
        },
    )


def summaries(session: Session) -> list[Summary]:
    direct = next(measured for measured in session.peers if measured.name == DIRECT)
    return [summarise(measured, direct) for measured in session.peers if measured.name != DIRECT]


def _show(value: float | None) -> str:
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return _row(heads) + _row(["---"] + ["--:"] * (len(heads) - 1)) + "".join(map(_row, rows))


def _figures(session: Session, found: Sequence[Summary]) -> str:
    heads = [
        "proxy",
        f"CPU µs / JSON request, at {EVEN_RATES[0]:,} a second",
        *(f"at {rate:,}" for rate in EVEN_RATES[1:]),
        "flat out",
        "CPU µs / paced chunk",
        "added p50 / p99 at 1, ms",
        f"added p50 / p99 at {CONCURRENT}, ms",
    ]
    heads += [f"requests/s at {CONCURRENT}", "memory RSS (PSS), MB", "cold start, s"]
    heads += [f"kB / stream at {streams:,}" for streams in session.pace.held] + ["does"]
    rows = []
    for each in found:
        latency = [f"{_show(each.added_ms[n, 'p50_us'])} / {_show(each.added_ms[n, 'p99_us'])}" for n in (1, CONCURRENT)]
        cells = [each.name, *map(_show, (*each.cpu_us_even.values(), each.cpu_us_request, each.cpu_us_chunk)), *latency]
        cells.append(_show(each.requests_s))
        cells += [f"{_show(each.rss_mb)} ({_show(each.pss_mb)})", _show(each.cold_start_s)]
        rows.append([*cells, *(_show(each.kb_per_stream.get(streams)) for streams in session.pace.held), each.does])
    return _table(heads, rows)


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The median of the rounds' ratios, and the least and the most of them."""
    each = [mine / yours for mine, yours in zip(ours, theirs, strict=False) if yours]
    if not each:
        return "–"
    spread = f" ({min(each):.2f}–{max(each):.2f})" if len(each) > 1 else ""
    return f"{statistics.median(each):.2f} ×{spread}"


def _known(value: float | None) -> list[float]:
    return [] if value is None else [value]


def _ratios(found: Sequence[Summary]) -> str:
    """Each peer against the yardsticks of the same run."""
    by_name = {each.name: each for each in found}
    yardsticks = [by_name[name] for name in YARDSTICKS if name in by_name]
    if not yardsticks:
        return "Neither of the yardsticks ran, so there are no ratios.\n"
    heads = ["proxy"]
    for yardstick in yardsticks:
        heads += [f"JSON request, to {yardstick.name}: at {EVEN_RATES[0]:,} a second"]
        heads += [*(f"at {rate:,}" for rate in EVEN_RATES[1:]), "flat out", "paced chunk", "memory"]
    rows = []
    for each in found:
        cells = [each.name]
        for yardstick in yardsticks:
            cells += [_ratio(each.rounds.even[rate], yardstick.rounds.even[rate]) for rate in EVEN_RATES]
            cells.append(_ratio(each.rounds.request, yardstick.rounds.request))
            cells.append(_ratio(each.rounds.chunk, yardstick.rounds.chunk))
            cells.append(_ratio(_known(each.rss_mb), _known(yardstick.rss_mb)))
        rows.append(cells)
    return _table(heads, rows)


def _splits(session: Session, found: Sequence[Summary]) -> str:
    """What of each proxy's figures is whose: the shares that were sampled, times the medians."""
    heads = ["proxy", f"CPU µs / JSON request, at {EVEN_RATES[0]:,} a second", "CPU µs / paced chunk"]
    by_name = {each.name: each.split for each in session.peers if each.split}
    rows = []
    for each in found:
        if split := by_name.get(each.name):
            cpu_us = {"request": each.cpu_us_even[EVEN_RATES[0]], "chunk": each.cpu_us_chunk}
            rows.append([each.name, *(_parts(split.get(load, {}), whole_us) for load, whole_us in cpu_us.items())])
    return _table(heads, rows) if rows else "Nothing was sampled: there was no perf, or it failed as is said below.\n"


def _parts(shares: dict[str, float], whole_us: float | None) -> str:
    parts = [f"{name} {_show(share * whole_us)}" for name, share in shares.items()] if whole_us is not None else []
    return ", ".join(parts) or "–"


def write_markdown(session: Session) -> str:
    found = summaries(session)
    method = METHOD.format(
        started=session.started,
        machine=machine_of(session),
        rounds=session.pace.rounds,
        paced_each=PACED_EACH_ROUND,
        concurrent=CONCURRENT,
        streams=STREAMS_PACED,
        chunks=CHUNKS,
        gap_ms=GAP_S * 1e3,
        cores=session.machine["cores"],
        rates=" and ".join(f"{rate:,}" for rate in EVEN_RATES),
        kept=KEPT_MIN,
    )
    versions = ", ".join(f"{measured.name} {measured.version}" for measured in session.peers if measured.version)
    text = f"{method}\n## Figures\n\n{_figures(session, found)}\nVersions: {versions}.\n"
    text += f"\n## Ratios within this run\n\n{_ratios(found)}"
    text += f"\n## Where the time goes\n\n{_splits(session, found)}"
    trouble = [f"- {each.name}: {line}" for each in session.peers for line in dict.fromkeys(each.trouble)]
    trouble += [f"- {name}: skipped, {reason}" for name, reason in session.skipped.items()]
    return text + ("\n## What went wrong\n\n" + "\n".join(trouble) + "\n" if trouble else "")
