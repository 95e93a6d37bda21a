"""A real Prometheus scrapes a real node: what our dashboard, our alerts and other gateways' dashboards ask for is there."""

import json
import re
import shutil
import subprocess
import urllib.parse
from pathlib import Path

import pytest

from tests.patience import wait_until
from tests.ports import free_port
from tests.processes import Edge, get, make_account, post

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "tollway.json"
RUNBOOK = (ROOT / "docs" / "operations.md").read_text()
ASK = {"model": "echo/echo-1", "messages": [{"role": "user", "content": "say something"}]}
OTHERS = (
    "sum(gen_ai_server_request_duration_seconds_count)",
    'sum(gen_ai_client_token_usage_sum{gen_ai_token_type=~"input|output"})',
    "histogram_quantile(0.95, sum(rate(gen_ai_server_time_to_first_token_seconds_bucket[1m])) by (le))",
    "histogram_quantile(0.95, sum(rate(gen_ai_server_request_duration_seconds_bucket[1m])) by (le))",
    "histogram_quantile(0.95, sum(rate(gen_ai_server_time_per_output_token_seconds_bucket[1m])) by (le))",
    "sum by (gen_ai_token_type) (rate(gen_ai_client_token_usage_sum[1m]))",
    "sum by (gen_ai_original_model, gen_ai_response_model, gen_ai_provider_name) (gen_ai_server_request_duration_seconds_count)",
    'sum(gen_ai_server_request_duration_seconds_count{error_type!=""}) / sum(gen_ai_server_request_duration_seconds_count)',
)
"""What dashboards for the metrics of other gateways are made of."""
NEEDS_TROUBLE = "tollway_closed"
"""Nothing is closed on a node that is well."""
FAULTY = """
[providers.broken]
base_url = "http://127.0.0.1:9/v1"
api_key = "none"
unlisted = { input = "1", output = "1" }
[rate_limits.key]
requests_per_minute = 20
"""


def expressions(dashboard: Path) -> list[str]:
    """Every panel's, with Grafana's variable filled in."""
    panels = json.loads(dashboard.read_text())["panels"]
    return [target["expr"].replace("$__rate_interval", "1m") for panel in panels for target in panel["targets"]]


def test_alerts_are_right_and_each_has_a_runbook_line() -> None:
    """promtool takes the rules; what an alert links to is there."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([promtool, "check", "rules", str(RULES)], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert len(alerts) >= 15
    for alert in alerts:
        assert f"runbook: docs/operations.md#{alert.lower()}\n" in RULES.read_text()
        assert f"### {alert}\n" in RUNBOOK


def query(port: int, expression: str) -> list[object]:
    """What an instant query gives now; nothing from a Prometheus that starts still."""
    reply = get(port, "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
    if reply.status == 503:
        return []
    answer = reply.json()
    assert answer["status"] == "success", answer
    found: list[object] = answer["data"]["result"]
    return found


def test_every_panel_has_data(tmp_path: Path) -> None:
    """After some requests, failures and refusals, each expression of our dashboard, each name that an alert uses, and each that
    other gateways' dashboards use, gives a series from a Prometheus that scrapes a node."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed")
    with Edge(tmp_path / "edge", FAULTY) as edge:
        account = make_account(edge, "watched")
        port = free_port()
        config = {
            "global": {"scrape_interval": "500ms"},
            "scrape_configs": [{"job_name": "edge", "static_configs": [{"targets": [f"127.0.0.1:{edge.admin_port}"]}]}],
        }
        (tmp_path / "prometheus.yml").write_text(json.dumps(config))
        arguments = [f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
        arguments.append(f"--web.listen-address=127.0.0.1:{port}")
        with (
            (tmp_path / "prometheus.log").open("wb") as log,
            subprocess.Popen([program, *arguments], stdout=log, stderr=log) as running,
        ):
            try:
                wanted = [*expressions(DASHBOARD), *OTHERS]
                names = set(re.findall(r"\b(?:tollway|gen_ai)_[a-z_]+", RULES.read_text()))
                names -= {name for name in names if name.startswith(("tollway_collector_", "tollway_verify_", "gen_ai_provider"))}
                missing = [one for one in (*wanted, *sorted(names)) if NEEDS_TROUBLE not in one]

                def has_all() -> bool:
                    _traffic(edge, account.headers)
                    missing[:] = [one for one in missing if not _has_data(port, one)]
                    return not missing

                wait_until(has_all)
            finally:
                running.terminate()


def _traffic(edge: Edge, headers: dict[str, str]) -> None:
    for body in (ASK | {"stream": True}, ASK, ASK | {"model": "broken/x"}, ASK | {"model": "no/such"}):
        post(edge.port, body, headers)


def _has_data(port: int, expression: str) -> bool:
    try:
        return bool(query(port, expression))
    except OSError:
        return False  # it has just been started
