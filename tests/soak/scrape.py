"""What a scrape costs: 40 providers with 500 models each, their answers of several ends, read as Prometheus reads it."""

import time
from itertools import pairwise

import msgspec

from edge.endpoints.admin import SLICE_LINES
from edge.telemetry.exposition import written
from edge.telemetry.metrics import Metrics
from tests.edge.telemetry.test_metrics import SERIES_MAX, a_record
from tests.soak.report import Report

PROVIDERS, MODELS = 40, 500
SLICE_MS_MAX = 10.0


def soak(report: Report, seed: int, count: int) -> None:
    """`count` scrapes; the CPU of a whole one, and of the longest piece between two looks at the sockets, medians."""
    metrics = Metrics()
    for provider in range(PROVIDERS):
        for model in range(MODELS):
            one = a_record(model + 1, f"p{provider}", f"p{provider}/m{model}")
            metrics.count(one)
            metrics.count(msgspec.structs.replace(one, end_reason="timeout", status=504, error="timeout_idle"))
            metrics.claims.compared[f"p{provider}/m{model}"].generations += 1
    wholes, longest, series = [], [], 0
    for _ in range(count):
        pieces = [0.0]
        began_s = time.process_time()
        lines = 0
        for family in metrics.families():
            for line in written(family, is_open=True):
                lines += not line.startswith("#")
                if lines % SLICE_LINES == 0:
                    pieces.append(time.process_time() - began_s)
        pieces.append(time.process_time() - began_s)
        series = lines
        wholes.append(pieces[-1] * 1e3)
        longest.append(max(after - before for before, after in pairwise(pieces)) * 1e3)
    whole_ms, piece_ms = sorted(wholes)[count // 2], sorted(longest)[count // 2]
    report.say("series; ms of CPU of a whole scrape, of its longest piece", (series, round(whole_ms, 2), round(piece_ms, 2)))
    assert series <= SERIES_MAX
    assert piece_ms <= SLICE_MS_MAX
