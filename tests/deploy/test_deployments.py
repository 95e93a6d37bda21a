"""Each deployment that this repository describes, started as its files say: a collector and three edges that serve paid requests.

Rule: environment, files, users, mounts and commands are the files' own; what the operator fills in (secrets, the collector's
address) is filled in as their comments say.
"""

import http.client
import json
import os
import signal
import socket
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.machine import VENV, Machine, Started
from tests.deploy.network import Network, is_possible
from tests.deploy.platforms import Container, Unit, manifests, seconds
from tests.deploy.test_images import ROOT, Dockerfile
from tests.processes import Reply

pytestmark = pytest.mark.skipif(not is_possible(), reason="namespaces of network and mounts need root")
EDGE, COLLECTOR = ROOT / "Dockerfile", ROOT / "collector/Dockerfile"
OWNER = 10001
DYNAMIC_USER = 61_234
"""Any of those that systemd draws for DynamicUser=."""
WAIT_S = 20.0
NO_NOTICE = {"TOLLWAY_DRAIN_NOTICE_S": "0"}
"""Nobody balances here, so nobody has to be told; an operator's secret wins over what the file says."""


def ask(network: Network, address: str, port: int, method: str, path: str, key: str = "", value: Any = None) -> Reply:
    """One request from inside the network."""

    def call() -> Reply:
        connection = http.client.HTTPConnection(address, port, timeout=10)
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        try:
            connection.request(method, path, body=json.dumps(value) if value is not None else None, headers=headers)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    return network.call(call)


def status(network: Network, address: str, port: int, path: str) -> int:
    """0 when nobody answers."""
    try:
        return ask(network, address, port, "GET", path).status
    except OSError:
        return 0


class Site:
    """One network with a collector's machine, and edges to come."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.network = stack.enter_context(Network())
        self.collector = self.machine("collector")
        self.collector_env: dict[str, str] = {}
        self.collector_words: list[str] = []
        self.collector_user = 0

    def machine(self, name: str, names: dict[str, str] | None = None) -> Machine:
        namespace, address = self.network.add()
        folder = self.folder / f"{address}-{name}"
        folder.mkdir()
        machine = Machine(folder, namespace, address, names=names)
        self.stack.callback(machine.close)
        return machine

    def wait(self, started: Started, port: int, path: str, wanted: int = 200) -> None:
        started.until(lambda: status(self.network, started.machine.address, port, path) == wanted)

    def command(self, *words: str) -> str:
        """`tollway …` in the collector's machine."""
        user = self.collector_user
        return self.collector.run([*self.collector_words, *words], self.collector_env, user=user, group=user)

    def secret(self, *words: str) -> str:
        """The token that a command prints on a line of its own."""
        (token,) = (line.removeprefix("token: ") for line in self.command(*words).splitlines() if line.startswith("token: "))
        return token

    def make_key(self) -> str:
        made = self.command("keys", "create", "--account", "payer", "--credit", "5.00", "--json")
        key: str = json.loads(made[made.index("{") : made.rindex("}") + 1])["key"]
        return key

    def pay(self, address: str, port: int, key: str) -> None:
        """A paid request is served, by an edge that says it is ready."""
        body = {"model": "echo/echo-1", "messages": [{"role": "user", "content": "hi"}]}
        answer = ask(self.network, address, port, "POST", "/api/v1/chat/completions", key, body)
        assert answer.status == 200, answer.body
        assert json.loads(answer.body)["usage"]["prompt_tokens"] > 0

    def spent(self, requests: int) -> None:
        """The collector's own history has so many generations, and its books add up."""
        until_s = time.monotonic() + WAIT_S
        while (rows := self.command("usage", "payer", "--each", "--json").count('"gen-')) < requests:
            assert time.monotonic() < until_s, rows
            time.sleep(0.2)
        self.command("verify")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def volume(folder: Path, owner: int = 0, group: int = 0, mode: int = 0o755) -> Path:
    """A freshly made one, as the platform hands it over."""
    folder.mkdir()
    os.chown(folder, owner, group)
    folder.chmod(mode)
    return folder


def image_of(machine: Machine, path: Path) -> Dockerfile:
    dockerfile = Dockerfile.read(path)
    machine.install(dockerfile)
    return dockerfile


def words_of(dockerfile: Dockerfile, arguments: list[str] | None = None) -> list[str]:
    entry: list[str] = json.loads(dockerfile.arguments("ENTRYPOINT")[-1])
    return entry + (json.loads(dockerfile.arguments("CMD")[-1]) if arguments is None else arguments)


def fly(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def start_fly(site: Site, machine: Machine, path: Path, more: dict[str, str]) -> tuple[Started, dict[str, Any], dict[str, str]]:
    """A Fly machine: the image, a volume that is root's, [env], secrets, and what the platform sets."""
    app = fly(path)
    dockerfile = image_of(machine, (path.parent / app["build"]["dockerfile"]).resolve())
    machine.mount(volume(machine.folder / "volume"), app["mounts"]["destination"], is_writable=True)
    env = dockerfile.env() | app.get("env", {}) | more
    started = machine.start(words_of(dockerfile), env, cwd=dockerfile.arguments("WORKDIR")[-1])
    (check,) = app["http_service"]["checks"]
    site.wait(started, app["http_service"]["internal_port"], check["path"])
    return started, app, env


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_fly_machines_serve_with_one_secret_for_the_app(site: Site, database: str, request: pytest.FixtureRequest) -> None:
    """collector/fly.toml and fly.toml: three machines in three regions with the same secrets name themselves, enrol, are ready,
    and serve; each owner of its data is user 10001; told to stop, each leaves nothing behind within what the platform grants."""
    more = {}
    if database == "postgres":
        more["TOLLWAY_DATABASE"] = request.getfixturevalue("reachable_postgres")(site.collector)
    collector, app, site.collector_env = start_fly(site, site.collector, ROOT / "collector/fly.toml", more)
    site.collector_words = words_of(Dockerfile.read(COLLECTOR), [])
    key, token = site.make_key(), site.secret("nodes", "create", "--group", "edges")
    url = f"http://{site.collector.address}:{app['http_service']['internal_port']}"
    edges = []
    for number, region in enumerate(("fra", "iad", "nrt")):
        platform = {"FLY_MACHINE_ID": f"1857{number}ab", "FLY_REGION": region, "FLY_APP_NAME": "tollway-edge"}
        secrets = {"TOLLWAY_COLLECTOR_URL": url, "TOLLWAY_NODE_TOKEN": token} | NO_NOTICE
        edges.append(start_fly(site, site.machine(region), ROOT / "fly.toml", platform | secrets))
    for started, app, _ in edges:
        site.pay(started.machine.address, app["http_service"]["internal_port"], key)
        assert {path.stat().st_uid for path in (started.machine.folder / "volume").rglob("*")} == {OWNER}
        metrics = ask(site.network, started.machine.address, app["metrics"]["port"], "GET", app["metrics"]["path"])
        assert b"tollway_requests_total" in metrics.body
    for started, app, _ in edges:
        started.process.send_signal(getattr(signal, app["kill_signal"]))
    for started, app, _ in edges:
        assert started.wait(seconds(app["kill_timeout"])) == 0, started.machine.log.read_text()[-2000:]
    site.spent(3)
    assert collector.stop(signal.SIGTERM, 30) == 0


def start_pod(site: Site, machine: Machine, path: Path, dockerfile_path: Path, name: str, secret: dict[str, str]) -> Started:
    """A pod: its user, its group on the volume, a read-only root, its probes until they pass."""
    container = Container.of(manifests(path)["StatefulSet"])
    dockerfile = image_of(machine, dockerfile_path)
    assert container.spec["securityContext"]["readOnlyRootFilesystem"]
    data = volume(machine.folder / "volume", 0, container.group, 0o2775)
    machine.mount(data, container.mount_path("data"), is_writable=True)
    if any(mount["name"] == "providers" for mount in container.spec["volumeMounts"]):
        config = machine.folder / "config"
        config.mkdir()
        (config / "providers.toml").write_text((ROOT / "providers.toml").read_text())
        machine.mount(config, container.mount_path("providers"))
    env = dockerfile.env() | container.environment(name, secret)
    arguments = container.spec.get("args", json.loads(dockerfile.arguments("CMD")[-1]))
    workdir = dockerfile.arguments("WORKDIR")[-1]
    started = machine.start(words_of(dockerfile, arguments), env, user=container.user, group=container.group, cwd=workdir)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        route, port = container.probe(probe)
        site.wait(started, port, route)
    return started


def test_kubernetes_pods_serve_and_leave_within_their_grace(site: Site) -> None:
    """deploy/kubernetes: a collector and three pods of one StatefulSet, each named after itself."""
    path = ROOT / "deploy/kubernetes/edge.yaml"
    collector = start_pod(site, site.collector, ROOT / "deploy/kubernetes/collector.yaml", COLLECTOR, "tollway-collector-0", {})
    site.collector_words, site.collector_user = ["tollway"], OWNER
    site.collector_env = Dockerfile.read(COLLECTOR).env()
    key, token = site.make_key(), site.secret("nodes", "create", "--group", "edges")
    secret = {"TOLLWAY_COLLECTOR_URL": f"http://{site.collector.address}:8100", "TOLLWAY_NODE_TOKEN": token} | NO_NOTICE
    names = [f"tollway-edge-{number}" for number in range(manifests(path)["StatefulSet"]["spec"]["replicas"])]
    edges = [start_pod(site, site.machine(name), path, EDGE, name, secret) for name in names]
    container = Container.of(manifests(path)["StatefulSet"])
    for started in edges:
        site.pay(started.machine.address, container.probe("readinessProbe")[1], key)
        assert status(site.network, started.machine.address, 9000, "/metrics") == 200
    assert [name for name in names if name not in site.command("nodes", "list")] == []
    before_stop = container.spec["lifecycle"]["preStop"]["exec"]["command"]
    grace_s = container.pod["terminationGracePeriodSeconds"]
    assert float(before_stop[1]) + int(container.environment("x", {})["TOLLWAY_DRAIN_GRACE_S"]) + 15 <= grace_s
    for started in edges:
        started.process.terminate()
    assert [started.wait(grace_s) for started in edges] == [0, 0, 0]
    site.spent(3)
    assert collector.stop(signal.SIGTERM, 30) == 0


class Notified:
    """The socket that a service of Type=notify tells its state."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        path.chmod(0o666)
        self._socket.settimeout(WAIT_S)

    def next(self) -> bytes:
        return self._socket.recv(4096)

    def close(self) -> None:
        self._socket.close()


def start_unit(
    site: Site, machine: Machine, path: Path, files: dict[str, Path], secrets: Callable[[str], str]
) -> tuple[Started, Unit, dict[str, str], Notified | None]:
    """A service: its state and credentials folders, its user, its commands; up when it says so."""
    unit = Unit.read(path)
    assert unit.one("DynamicUser") == "yes"
    machine.mount(VENV, "/opt/tollway/.venv")
    machine.mount(ROOT, str(ROOT))
    state = f"/var/lib/{unit.one('StateDirectory')}"
    machine.mount(volume(machine.folder / "state", DYNAMIC_USER, DYNAMIC_USER, 0o700), state, is_writable=True)
    credentials = volume(machine.folder / "credentials", DYNAMIC_USER, DYNAMIC_USER, 0o500)
    for credential in unit.all("LoadCredential"):
        name = credential.partition(":")[0]
        (credentials / name).write_text(secrets(name))
        os.chown(credentials / name, DYNAMIC_USER, DYNAMIC_USER)
        (credentials / name).chmod(0o400)
    machine.mount(credentials, f"/run/credentials/{path.name}")
    env = {"PATH": "/usr/bin:/bin"} | unit.environment(files)
    notified = None
    if unit.one("Type") == "notify":
        notified = Notified(machine.folder / "notify")
        site.stack.callback(notified.close)
        machine.mount(machine.folder / "notify", "/run/systemd/notify", is_writable=True)
        env["NOTIFY_SOCKET"] = "/run/systemd/notify"
    for command in unit.all("ExecStartPre"):
        machine.run(command.split(), env, user=DYNAMIC_USER, group=DYNAMIC_USER)
    started = machine.start(unit.one("ExecStart").split(), env, user=DYNAMIC_USER, group=DYNAMIC_USER)
    if notified is not None:
        assert notified.next() == b"READY=1"
    return started, unit, env, notified


def test_systemd_services_notify_reload_and_stop(site: Site) -> None:
    """deploy/systemd: the collector, then three edges with their credentials in files; READY when callers are served, a reload by
    SIGHUP, STOPPING at the end, and an exit status that the unit calls a success."""
    files = {"/etc/tollway/collector.env": site.folder / "collector.env", "/etc/tollway/edge.env": site.folder / "edge.env"}
    files["/etc/tollway/collector.env"].write_text("")
    folder = ROOT / "deploy/systemd"
    collector, unit, site.collector_env, _ = start_unit(
        site, site.collector, folder / "tollway-collector.service", files, lambda name: ""
    )
    site.wait(collector, 8100, "/readyz")
    site.collector_words, site.collector_user = [unit.one("ExecStart").split()[0]], DYNAMIC_USER
    key = site.make_key()
    edges = []
    for name in ("ams-1", "fra-1", "lon-1"):
        token = site.secret("nodes", "create", name)
        machine = site.machine(name)
        (machine.root / "etc/tollway").mkdir()
        (machine.root / "etc/tollway/providers.toml").write_text((ROOT / "providers.toml").read_text())
        files["/etc/tollway/edge.env"].write_text(
            f"TOLLWAY_COLLECTOR_URL=http://{site.collector.address}:8100\nTOLLWAY_NODE={name}\nTOLLWAY_DRAIN_NOTICE_S=0\n"
        )
        given = {"node-token": token, "openai": "sk-none"}
        edges.append(start_unit(site, machine, folder / "tollway-edge.service", files, given.__getitem__))
    for started, unit, _, notified in edges:
        assert notified is not None
        site.wait(started, 8000, "/readyz")
        site.pay(started.machine.address, 8000, key)
        assert unit.one("ExecReload") == "/bin/kill -HUP $MAINPID"
        started.process.send_signal(signal.SIGHUP)
        site.pay(started.machine.address, 8000, key)
        started.process.terminate()
        assert notified.next() == b"STOPPING=1"
        assert started.wait(seconds(unit.one("TimeoutStopSec"))) in {0, int(unit.one("SuccessExitStatus"))}
    site.spent(6)
    assert collector.stop(signal.SIGTERM, 30) == 0


class Compose:
    """deploy/compose.yaml: its services, each a machine; named volumes are shared between them."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.path = ROOT / "deploy/compose.yaml"
        self.services: dict[str, Any] = yaml.safe_load(self.path.read_text())["services"]
        self._volumes: dict[str, Path] = {}
        self._addresses: dict[str, str] = {}

    def volume(self, name: str) -> Path:
        if name not in self._volumes:
            self._volumes[name] = volume(self.site.folder / f"volume-{name}")
        return self._volumes[name]

    def dockerfile(self, service: dict[str, Any]) -> Path:
        built = next(one["build"] for one in self.services.values() if one["image"] == service["image"] and "build" in one)
        path: Path = self.path.parent / built["context"] / built.get("dockerfile", "Dockerfile")
        return path.resolve()

    def start(self, name: str, host: dict[str, str]) -> tuple[Started, dict[str, str], Dockerfile]:
        service = self.services[name]
        machine = self.site.collector if name == "collector" else self.site.machine(name, self._addresses)
        self._addresses[name] = machine.address
        dockerfile = image_of(machine, self.dockerfile(service))
        for mount in service["volumes"]:
            source, target, *mode = mount.split(":")
            is_named = not source.startswith((".", "/"))
            there = self.volume(source) if is_named else (self.path.parent / source).resolve()
            machine.mount(there, target, is_writable=mode != ["ro"])
        given = service.get("environment", {})
        env = dockerfile.env() | {key: value for key, value in given.items() if value is not None}
        env |= {key: host[key] for key, value in given.items() if value is None and key in host}
        words = service.get("entrypoint") or words_of(dockerfile, service.get("command"))
        return machine.start(words, env, cwd=dockerfile.arguments("WORKDIR")[-1]), env, dockerfile


def test_compose_brings_up_a_laptop(site: Site) -> None:
    """deploy/compose.yaml: the collector, healthy by its own health check; once, a token; then the edge, whose token is in a
    file. Coming up again makes no second token."""
    compose = Compose(site)
    collector, env, dockerfile = compose.start("collector", {})
    site.collector_env, site.collector_words = env, words_of(dockerfile, [])
    site.wait(collector, 8100, "/readyz")
    site.collector.run(compose.services["collector"]["healthcheck"]["test"][1:], env)
    for _ in range(2):
        token, _, _ = compose.start("token", {})
        assert token.wait(WAIT_S) == 0, token.machine.log.read_text()
    key = site.make_key()
    edge, _, _ = compose.start("edge", {"OPENAI_API_KEY": "sk-none"})
    site.wait(edge, 8000, "/readyz")
    site.pay(edge.machine.address, 8000, key)
    assert edge.stop(signal.SIGTERM, seconds(compose.services["edge"]["stop_grace_period"])) == 0
    site.spent(1)
    assert site.command("nodes", "list", "--json").count('"laptop"') == 1
    assert collector.stop(signal.SIGTERM, 30) == 0
