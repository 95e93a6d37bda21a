"""What is scraped: names that dashboards know, parsed by two readers that are not ours, within a budget of series and time."""

import gc
import shutil
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from edge.telemetry.exposition import Family, counter, is_open_wanted, written
from edge.telemetry.figures import FIGURES, UNEXPLAINED
from edge.telemetry.gen_ai import SETS_MAX
from edge.telemetry.metrics import Metrics
from tests.collector.facts import Caller, make_fact
from tests.figures_docs import lacking, told_by_nobody
from tests.processes import Edge, ask, get, make_account, post
from usage.record import Tokens, UsageRecord

ASK = {"model": "echo/echo-1", "messages": [{"role": "user", "content": "hi"}], "stream": True}
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SERIES_MAX = 5_000


def lines(metrics: Metrics, *, is_open: bool = False) -> list[str]:
    return [line for family in metrics.families() for line in written(family, is_open=is_open)]


def a_record(number: int, provider: str, model: str) -> UsageRecord:
    return msgspec.structs.replace(
        make_fact(number, Caller("", "", "k", "a", "a"), "n", 1, f"{provider} {model} {number}"),
        provider=provider,
        model=model,
        latency_ms=1_200,
        ttft_ms=300,
        stream=True,
        tokens=Tokens(prompt=100, completion=30, cached=10, reasoning=5),
    )


def test_series_stay_within_their_budget() -> None:
    """40 providers with 500 models each on three surfaces, ends of two kinds: at most 5,000 series, written in a few milliseconds
    at a time."""
    metrics = Metrics()
    for provider in range(40):
        for model in range(500):
            one = a_record(model + 1, f"p{provider}", f"p{provider}/m{model}")
            one = msgspec.structs.replace(one, surface=("chat", "completions", "gemini")[model % 3])
            metrics.count(one)
            metrics.count(msgspec.structs.replace(one, end_reason="timeout", status=504, error="timeout_idle"))
            metrics.claims.compared[f"p{provider}/m{model}"].generations += 1
    found = [line for line in lines(metrics) if not line.startswith("#")]
    assert len(found) <= SERIES_MAX
    assert len([line for line in found if line.startswith("gen_ai_server_request_duration_seconds_count")]) <= SETS_MAX + 6
    counted = [float(line.rsplit(" ", 1)[1]) for line in found if line.startswith("gen_ai_server_request_duration_seconds_count")]
    assert sum(counted) == 2 * 40 * 500
    slowest = 0.0
    gc.disable()  # what other tests have left is not looked through meanwhile
    try:
        for family in metrics.families():
            began = time.process_time()
            list(written(family, is_open=True))
            slowest = max(slowest, time.process_time() - began)
    finally:
        gc.enable()
    assert slowest < 0.5  # a family is written in slices of 500 lines; the whole is some ten milliseconds


def test_unsaid_usage_is_that_of_whole_answers() -> None:
    """A caller who leaves, or a provider that fails, does not make a provider one that hides its usage."""
    metrics = Metrics()
    for end_reason in ("completed", "cancelled", "credit_limit", "upstream_error", "timeout"):
        metrics.count(msgspec.structs.replace(a_record(1, "p", "p/m"), end_reason=end_reason, usage_source="counted"))
    metrics.count(msgspec.structs.replace(a_record(1, "p", "p/m"), usage_source="provider"))
    assert 'tollway_unsaid_usage_total{provider="p"} 1\n' in lines(metrics)


def test_operation_is_the_surfaces() -> None:
    """Messages and Responses are chats; what the conventions have no word for has the surface's own."""
    metrics = Metrics()
    wanted = {"messages": "chat", "gemini": "generate_content", "completions": "text_completion", "rerank": "rerank"}
    for surface in wanted:
        metrics.count(msgspec.structs.replace(a_record(1, "p", "p/m"), surface=surface))
    found = lines(metrics)
    for operation in wanted.values():
        labels = f'{{gen_ai_operation_name="{operation}",gen_ai_provider_name="p"}} 1\n'
        assert f"gen_ai_server_time_to_first_token_seconds_count{labels}" in found


def test_numbers_have_all_their_digits_and_labels_are_escaped() -> None:
    """`%g` would make 1.23457e+06 of a counter, and so lose requests."""
    (_, _, line) = list(written(counter("tollway_x", "X.", [({"model": 'a"b\\c\nd'}, 1_234_567_890_123)]), is_open=False))
    assert line == 'tollway_x_total{model="a\\"b\\\\c\\nd"} 1234567890123\n'


def test_openmetrics_is_spelled_as_it_wants() -> None:
    """A counter's family has no `_total`; exemplars are told there alone."""
    metrics = Metrics()
    metrics.count(msgspec.structs.replace(a_record(1, "p", "p/m"), trace=f"{TRACE_ID}-00f067aa0ba902b7-01"))
    plain, opened = lines(metrics), lines(metrics, is_open=True)
    assert "# TYPE tollway_requests_total counter\n" in plain
    assert "# TYPE tollway_requests counter\n" in opened
    assert not any(" # {" in line for line in plain)
    assert any(f'# {{trace_id="{TRACE_ID}"}} 1.2' in line for line in opened)
    assert is_open_wanted("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert not is_open_wanted("*/*")


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A real node after some requests, as both formats."""
    with Edge(tmp_path_factory.mktemp("metrics"), "[rate_limits.key]\nrequests_per_minute = 600\n") as edge:
        account = make_account(edge, "seen")
        for stream in (True, False):
            headers = account.headers | {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
            assert post(edge.port, ASK | {"stream": stream}, headers).status == 200
        assert post(edge.port, ASK | {"model": "no/such"}, account.headers).status == 404
        plain = get(edge.admin_port, "/metrics")
        opened = ask(edge.admin_port, "GET", "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert opened.headers["content-type"].startswith("application/openmetrics-text")
    return plain.body.decode(), opened.body.decode()


def test_exposition_is_what_promtool_takes(scraped: tuple[str, str], tmp_path: Path) -> None:
    """Prometheus' own linter finds no error in what a real node tells."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    command = [promtool, "check", "metrics"]
    done = subprocess.run(command, input=scraped[0], capture_output=True, text=True, timeout=20, check=False)
    assert "error" not in done.stderr.lower(), done.stderr
    assert done.returncode in (0, 3), done.stderr


def test_exposition_is_what_openmetrics_readers_parse(scraped: tuple[str, str]) -> None:
    """prometheus_client's strict parser reads every family, and finds the exemplar."""
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    families = {family.name: family for family in parser.text_string_to_metric_families(scraped[1])}
    duration = families["gen_ai_server_request_duration_seconds"]
    assert duration.type == "histogram"
    exemplars = [sample.exemplar for sample in duration.samples if sample.exemplar]
    assert exemplars
    assert exemplars[0].labels == {"trace_id": TRACE_ID}
    assert {"tollway_requests", "tollway_refusals", "tollway_build_info", "tollway_oldest_unshipped_seconds"} <= families.keys()


def test_every_figure_is_explained(scraped: tuple[str, str]) -> None:
    """What is told has HELP; what is explained is told by a node that is ready."""
    told = {line.split(" ")[2].removeprefix("tollway_") for line in scraped[0].splitlines() if line.startswith("# HELP")}
    assert set(FIGURES) <= told
    assert UNEXPLAINED not in scraped[0]


def test_docs_have_every_figure(scraped: tuple[str, str]) -> None:
    """docs/operations.md names each with its kind and meaning, and none that is not there."""
    assert lacking(scraped[0]) == []
    assert [name for name in told_by_nobody(scraped[0], "") if not name.startswith("tollway_collector_")] == []


def test_names_are_those_that_dashboards_of_other_gateways_read(scraped: tuple[str, str]) -> None:
    """Envoy AI Gateway's and agentgateway's: names, and the labels that they group by."""
    for wanted in (
        'gen_ai_server_request_duration_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="echo",'
        'gen_ai_original_model="echo/echo-1",gen_ai_request_model="echo/echo-1",gen_ai_response_model="echo/echo-1"} 2',
        'gen_ai_server_time_to_first_token_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="echo"} 2',
        "gen_ai_server_time_per_output_token_seconds_bucket{",
        'gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_provider_name="echo",gen_ai_token_type="input"}',
        'gen_ai_token_type="cached_input"',
        'gen_ai_token_type="reasoning"',
    ):
        assert wanted in scraped[0], wanted


def test_family_without_samples_is_told_all_the_same() -> None:
    """A counter that has not counted yet is known to exist."""
    assert list(written(Family("tollway_x", "counter", "X.", []), is_open=False)) == [
        "# HELP tollway_x_total X.\n",
        "# TYPE tollway_x_total counter\n",
    ]
