"""The deployment files, read by the programs and by the schemas that they are written for: a field that is not known, or in the
wrong place, is a failure.

Strategy: each file is tried twice, as it is and with a slip in it, so that a reader that reads nothing is seen.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import trustme
import yaml
from compose_spec import PyCompose

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
PROGRAM = re.compile(r"^(Exec\w+=[-+@:!|]*)\S+", re.MULTILINE)
try:
    import kubernetes_validate
except ImportError:  # 17,000 files of schemas: whoever changes a manifest installs it
    kubernetes_validate = None
has_schemas = pytest.mark.skipif(kubernetes_validate is None, reason="kubernetes-validate is not installed")
KUBERNETES_VERSION = "1.31"
"""Older than any that is supported today; what is written works there and since."""


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@has_schemas
@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.stem)
def test_kubernetes_takes_the_manifests_as_they_are(path: Path) -> None:
    """By its own schemas, strictly: each object, with every field known."""
    objects = list(yaml.safe_load_all(path.read_text()))
    assert len(objects) >= 2
    for each in objects:
        kubernetes_validate.validate(each, KUBERNETES_VERSION, strict=True)


@has_schemas
def test_kubernetes_refuses_a_slip() -> None:
    """A field that is nearly another one, where strictness has to look deep."""
    (stateful_set,) = (
        each for each in yaml.safe_load_all((DEPLOY / "kubernetes/edge.yaml").read_text()) if each["kind"] == "StatefulSet"
    )
    pod = stateful_set["spec"]["template"]["spec"]
    pod["terminationGracePeriod"] = pod.pop("terminationGracePeriodSeconds")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(stateful_set, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("", ""),
        ("stop_grace_period", "stop_grace_periods"),
        ("healthcheck:", "healthchek:"),
        ("interval: 2s", "intervall: 2s"),
        ("service_healthy", "healthy"),
    ],
)
def test_compose_takes_its_file_as_it_is(right: str, wrong: str) -> None:
    """By a reader of the specification that lets no unknown field pass."""
    text = (DEPLOY / "compose.yaml").read_text().replace(right, wrong)
    if right == wrong:
        PyCompose.from_yaml(text).validate()
    else:
        with pytest.raises(ValueError, match=r"services\."):
            PyCompose.from_yaml(text)


@needs("systemd-analyze")
@pytest.mark.parametrize("slip", [False, True])
def test_systemd_takes_the_units_as_they_are(tmp_path: Path, slip: bool) -> None:
    """Without a word, once the programs that they start are there."""
    for unit in UNITS:
        text = PROGRAM.sub(r"\1/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text.replace("TimeoutStopSec", "TimeoutStopSecs") if slip else text)
    done = run("systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in UNITS))
    said = [line for line in done.stderr.splitlines() if "tollway" in line]
    assert bool(said) is slip, done.stderr
    assert len(UNITS) >= 2


@needs("haproxy")
@pytest.mark.parametrize("name", ["haproxy", "collector"])
@pytest.mark.parametrize("slip", [False, True])
def test_haproxy_takes_its_files_as_they_are(tmp_path: Path, name: str, slip: bool) -> None:
    """With a certificate in the place of the operator's, and no warning."""
    trustme.CA().issue_cert("tollway.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / "tollway.pem")
    text = (DEPLOY / f"haproxy/{name}.cfg").read_text()
    certificate = str(tmp_path / "tollway.pem").replace(" ", "\\ ")
    text, count = re.subn(r"/etc/haproxy/\w+\.pem", lambda _: certificate, text)
    assert count == 1
    (tmp_path / "haproxy.cfg").write_text(text.replace("leastconn", "leastcon") if slip else text)
    done = run("haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg"))
    assert (done.returncode == 0) is not slip, done.stderr
    assert slip or "WARNING" not in done.stderr, done.stderr


@needs("promtool")
@pytest.mark.parametrize("slip", [False, True])
def test_prometheus_takes_its_file_as_it_is(tmp_path: Path, slip: bool) -> None:
    """With the rules that it names."""
    for path in (DEPLOY / "prometheus").iterdir():
        text = path.read_text()
        (tmp_path / path.name).write_text(text.replace("scrape_interval", "scrape_intervall") if slip else text)
    done = run("promtool", "check", "config", str(tmp_path / "prometheus.yml"))
    assert (done.returncode == 0) is not slip, done.stdout + done.stderr
    assert slip or "rules found" in done.stdout
