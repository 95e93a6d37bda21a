"""What is true of a node at this moment, each figure with what it means; and the whole exposition of the node.

Rule: a figure that is told has its line in FIGURES, so that nobody scrapes a number without an explanation.
"""

import platform
import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Final

from edge.limits.memory import resident_bytes
from edge.telemetry.exposition import Family, counter, gauge
from usage.release import VERSION

if TYPE_CHECKING:
    from edge.node import Node

UNEXPLAINED: Final = "Not explained yet."
FIGURES: Final[dict[str, str]] = {
    "ready": "Whether this edge wants traffic.",
    "open_requests": "Requests under way.",
    "open_streams": "Of them, streams that have begun.",
    "stream_silence_seconds_max": "For how long the stream that is silent for longest has brought nothing.",
    "body_bytes_held": "Bytes of requests' bodies in memory.",
    "upstream_connections_open": "Connections to providers.",
    "upstream_connections_idle": "Of them, those that wait for a request.",
    "upstream_connections_opened_total": "Connections to providers that were opened.",
    "upstream_connections_reused_total": "Requests that found an open connection.",
    "resident_bytes": "Memory of this process.",
    "failed_authentications_total": "Requests with no valid key.",
    "loop_lag_seconds": "How late the event loop's timers are, averaged over a second.",
    "overloaded": "Whether new paid work is refused because of this process' own trouble.",
    "caller_connections_open": "Callers' connections.",
    "caller_connections_max": "As many as there may be.",
    "caller_connections_evicted_total": "Connections that did nothing and were closed for new ones.",
    "caller_connections_refused_total": "Connections that were refused.",
    "epochs_lost": "Epochs that are open at the collector and have no journal here.",
    "orphans_total": "Requests of a process that died, settled by recovery.",
    "orphans_charged_nano": "What they were charged, in nano-dollars.",
    "orphans_lost_nano_max": "What they may have cost beyond that: the house's loss, at most.",
    "journal_pending_records": "Records that wait to be shipped.",
    "journal_pending_bytes": "Their bytes on the disk.",
    "journal_max_bytes": "Bytes that the journal may have; near them new paid work is refused.",
    "journal_faults_total": "Writes and syncs of the journal that failed.",
    "oldest_unshipped_seconds": "Age of the oldest record that the collector does not have; 0: it has all.",
    "shipper_failing_seconds": "For how long nothing could be shipped.",
    "records_shipped_total": "Records that the collector took.",
    "records_rejected_total": "Records that the collector will never take: dead letters.",
    "records_shortened_total": "Records that were sent without their texts.",
    "records_lost_total": "Records that the journal could not yield again.",
    "fenced": "Whether another process runs as this node.",
    "collector_silent_seconds": "For how long the collector has not answered a poll.",
    "credit_free_nano": "Leased credit that nobody holds, in nano-dollars.",
    "credit_held_nano": "Leased credit that running requests hold, in nano-dollars.",
    "credit_overage_nano": "What providers used beyond what was held, in nano-dollars.",
    "credit_wallets": "Purses that have a wallet here.",
    "credit_keys": "Keys that are known here.",
    "credit_calls_total": "Calls to the collector for keys and credit.",
    "lease_life_seconds_min": "Seconds for which the shortest lease still admits without the collector.",
    "limits_active": "Rate limits in use here.",
    "limit_asks_total": "Reports of limits to the collector.",
    "limits_away": "Whether limits go on without the collector.",
    "log_lines_dropped_total": "Lines of the request log that could not be written in time.",
    "spans_exported_total": "Requests whose spans were sent.",
    "spans_dropped_total": "Requests whose spans are lost.",
    "config_last_reload_success": "Whether the last providers.toml that was read is in force.",
    "config_reloads_total": "Tables that were put in force.",
    "config_reloads_refused_total": "Tables that were wrong and are not in force.",
    "config_last_reload_success_timestamp_seconds": "When a table was last put in force.",
}


def values(node: "Node") -> dict[str, float]:
    """Every figure by its name in FIGURES; those of parts that a node has only with an epoch from then on."""
    return dict(
        chain(_of_process(node), _of_requests(node), _of_limits(node), _of_table(node), _of_telemetry(node), _of_usage(node))
    )


def _of_process(node: "Node") -> Iterator[tuple[str, float]]:
    yield "ready", node.readiness().is_ready
    yield "resident_bytes", resident_bytes()
    yield "loop_lag_seconds", node.overload.lag_s
    yield "overloaded", bool(node.overload.reason)
    callers, providers = node.admission, node.native.stats()
    yield "caller_connections_open", callers.open
    yield "caller_connections_max", callers.connections_max
    yield "caller_connections_evicted_total", callers.evicted_total
    yield "caller_connections_refused_total", callers.refused_total
    yield "upstream_connections_open", providers.open
    yield "upstream_connections_idle", providers.idle
    yield "upstream_connections_opened_total", providers.opened_total
    yield "upstream_connections_reused_total", providers.reused_total


def _of_requests(node: "Node") -> Iterator[tuple[str, float]]:
    contexts, now_s = node.watch.contexts, monotonic()
    silences = [now_s - context.heard_s for context in contexts if context.mark is not None]
    yield "open_requests", len(contexts)
    yield "open_streams", len(silences)
    yield "stream_silence_seconds_max", max(silences, default=0.0)
    yield "body_bytes_held", node.in_flight.held_bytes
    yield "failed_authentications_total", node.failed_authentications.total


def _of_limits(node: "Node") -> Iterator[tuple[str, float]]:
    limits = node.limiter.reports
    yield "limits_active", len(limits)
    yield "limit_asks_total", limits.asks_total
    yield "limits_away", limits.is_away


def _of_table(node: "Node") -> Iterator[tuple[str, float]]:
    reloader = node.reloader
    yield "config_last_reload_success", reloader.outcome.succeeded
    yield "config_last_reload_success_timestamp_seconds", reloader.used_s
    yield "config_reloads_total", reloader.used_total
    yield "config_reloads_refused_total", reloader.refused_total


def _of_telemetry(node: "Node") -> Iterator[tuple[str, float]]:
    traces = node.observers.traces
    yield "log_lines_dropped_total", node.observers.log.dropped_total
    yield "spans_exported_total", traces.exported_total if traces is not None else 0
    yield "spans_dropped_total", traces.dropped_total if traces is not None else 0


def _of_usage(node: "Node") -> Iterator[tuple[str, float]]:
    """What was used, from its journal to the collector, and the credit that pays for it."""
    recovery, journal, shipper, credit = node.recovery, node.journal, node.shipper, node.credit
    yield "epochs_lost", node.epochs_lost
    if recovery is not None:
        yield "orphans_total", recovery.orphans_total
        yield "orphans_charged_nano", recovery.orphans_charged_nano
        yield "orphans_lost_nano_max", recovery.orphans_lost_nano
    if journal is not None:
        yield "journal_pending_records", journal.pending_records
        yield "journal_pending_bytes", journal.pending_bytes
        yield "journal_max_bytes", journal.bytes_max
        yield "journal_faults_total", journal.faults_total
    if shipper is not None:
        oldest_ms = 0 if journal is None else journal.oldest_unshipped_ms
        age_s = max(time.time() - oldest_ms / 1000, 0.0) if oldest_ms else 0.0
        yield "oldest_unshipped_seconds", max(age_s, shipper.outage.age_s)
        yield "shipper_failing_seconds", shipper.outage.age_s
        yield "records_shipped_total", shipper.records_total
        yield "records_rejected_total", shipper.rejected_total
        yield "records_shortened_total", shipper.shortened_total
        yield "records_lost_total", shipper.lost_total
    if credit is not None:
        now_s = monotonic()
        yield from ((f"credit_{name}", value) for name, value in credit.totals().items())
        yield "credit_calls_total", credit.calls_total
        yield "fenced", credit.is_fenced
        yield "collector_silent_seconds", max(now_s - credit.contact_s, 0.0)
        yield "lease_life_seconds_min", max(credit.lease_life_s(now_s), 0.0)


def families(node: "Node") -> Iterator[Family]:
    """All that a scrape tells."""
    for name, value in values(node).items():
        text = FIGURES.get(name, UNEXPLAINED)
        if name.endswith("_total"):
            yield counter(f"tollway_{name.removesuffix('_total')}", text, [({}, float(value))])
        else:
            yield gauge(f"tollway_{name}", text, [({}, float(value))])
    yield gauge("tollway_build_info", "What runs.", [({"version": VERSION, "python": platform.python_version()}, 1.0)])
    yield gauge("tollway_config_info", "The table in force, by its digest.", [({"version": node.reloader.outcome.version}, 1.0)])
    closed: Counter[tuple[str, str, str]] = Counter(node.table.closed(monotonic()))
    yield gauge(
        "tollway_closed",
        "What is closed to requests: providers, keys or targets, and why.",
        (({"provider": at, "scope": scope, "cause": cause}, count) for (at, scope, cause), count in sorted(closed.items())),
    )
    yield gauge(
        "tollway_provider_keys",
        "Keys of the table, by whether they can be read.",
        (({"provider": at, "state": state}, count) for (at, state), count in sorted(node.table.key_states().items())),
    )
    for name, text, counts in (
        ("tollway_limit_refused", "Requests refused by a limit.", node.limiter.refused),
        ("tollway_limit_shadowed", "Requests that a limit in shadow would have refused.", node.limiter.shadowed),
    ):
        yield counter(name, text, (({"scope": at, "limit": limit}, n) for (at, limit), n in sorted(counts.items())))
    if node.credit is not None:
        yield node.credit.acquire_s.family("tollway_acquire_seconds", "Seconds that the collector took for a key or a grant.")
    yield from node.metrics.families()
