"""The collector, as this machine reaches it: name, connection, certificate, answer, this node's token, and its clock.

Rule: nothing is changed there: no epoch is begun, no node is made. A node's token is tried with a poll, a group's with an
enrolment that says nothing.
"""

import errno
import socket
import ssl
import time
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from edge.clock import TOLERANCE_MS
from edge.collector_client.enrolment import Enrolment
from edge.data_folder import StartProblem, known_name
from edge.doctor.finding import Finding, fail, ok, warn
from edge.settings import SettingError, Settings
from edge.upstream.tls import build_context
from usage.key import without_secrets
from usage.protocol import GROUP_PREFIX, Poll, Polled
from usage.protocol.http import ENROL, METHOD, path_of, request_headers, said_by

TIMEOUT_S = 5.0
CERTIFICATE_REMEDIES = {
    9: "it is not valid yet by this machine's clock: set the clock",
    10: "it has expired: renew it at the collector; or this machine's clock is ahead",
    62: "TOLLWAY_COLLECTOR_URL has to name the collector as its certificate does",
    64: "TOLLWAY_COLLECTOR_URL has to name the collector as its certificate does: by its name, not its address",
}
"""By OpenSSL's verify code."""


def look_at_collector(settings: Settings) -> Iterator[Finding]:
    assert settings.collector_url is not None
    url = urlsplit(settings.collector_url)
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    subject = f"collector {url.scheme}://{host}:{port}"
    if not host:
        yield fail(subject, "has no host", "TOLLWAY_COLLECTOR_URL is an address such as https://collector.example")
        return
    try:
        addresses = {str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except socket.gaierror as error:
        yield fail(subject, *_unresolved(error))
        return
    except (OSError, UnicodeError) as error:
        yield fail(subject, f"the name is not known here: {error}", "correct TOLLWAY_COLLECTOR_URL, or this machine's resolver")
        return
    if url.scheme == "http" and any(ip_address(one.partition("%")[0]).is_global for one in addresses):
        said = f"this node's token and its usage go to {host} unencrypted, over the internet"
        yield warn(subject, said, "https://, or an address of the private network")
    if port == settings.port and any(_is_here(one) for one in addresses):
        yield fail(
            subject, "is this edge itself", "TOLLWAY_COLLECTOR_URL is where `tollway collector` listens (PORT there, 8100)"
        )
        return
    problem = _connect(url.scheme, host, port)
    if problem is not None:
        yield fail(subject, *problem)
        return
    yield ok(subject, f"reached at {', '.join(sorted(addresses)[:3])}")
    yield from _ask(settings, subject)


def look_at_receiver(settings: Settings) -> Iterator[Finding]:
    """Who takes the traces; nothing is sent."""
    if settings.otlp_url is None:
        return
    url = urlsplit(settings.otlp_url)
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    problem = _connect(url.scheme, host, port)
    if problem is None:
        yield ok("traces", f"{host}:{port} takes connections")
    else:
        remedy = f"traces are dropped, nothing else waits: {problem[1]}, or correct TOLLWAY_OTLP_URL"
        yield warn("traces", f"{host}:{port}: {problem[0]}", remedy)


def _connect(scheme: str, host: str, port: int) -> tuple[str, str] | None:
    """(how it fails, the remedy); None when it does not."""
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as raw:
            if scheme == "https":
                build_context(True, None).wrap_socket(raw, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        remedy = CERTIFICATE_REMEDIES.get(error.verify_code, "let SSL_CERT_FILE name its authority here")
        return f"its certificate is not accepted: {error.verify_message}", remedy
    except ssl.SSLError as error:
        return f"it does not speak TLS: {error.reason}", "http:// inside of a private network, or put TLS before it"
    except TimeoutError:
        return f"no connection within {TIMEOUT_S:.0f} s", "let a firewall or network policy pass it"
    except OSError as error:
        remedy = "start it, or correct the address and port in TOLLWAY_COLLECTOR_URL"
        if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            remedy = "this machine has no way there: a route, a VPN, or an address of the same kind (IPv4, IPv6) is missing"
        return f"no connection: {error.strerror or error}", remedy
    return None


def _unresolved(error: socket.gaierror) -> tuple[str, str]:
    if error.errno == socket.EAI_AGAIN:
        remedy = "/etc/resolv.conf names no resolver that answers here: mend it, or let a network policy pass port 53"
        return f"no resolver answers: {error.strerror}", remedy
    return f"the name is not known here: {error.strerror}", "correct TOLLWAY_COLLECTOR_URL, or this machine's resolver"


def _is_here(address: str) -> bool:
    """Whether it is this machine's own."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _ask(settings: Settings, subject: str) -> Iterator[Finding]:
    import httpx

    trusted = build_context(True, None)
    with httpx.Client(base_url=settings.collector_url or "", timeout=TIMEOUT_S, trust_env=False, verify=trusted) as client:
        try:
            ready = client.get("/readyz")
            if ready.status_code != 200:
                said = without_secrets(ready.text.strip()[:200])
                yield fail(subject, f"is not ready ({ready.status_code}): {said}", "`tollway doctor collector` on its machine")
                return
            yield from _token(client, settings)
        except (httpx.HTTPError, OSError) as error:
            yield fail(subject, f"did not answer ({type(error).__name__})", "is this the address of a collector?")


def _token(client: "httpx.Client", settings: Settings) -> Iterator[Finding]:  # type: ignore[name-defined]  # noqa: F821
    if not settings.node_token:
        remedy = "`tollway nodes create --group G` at the collector makes one for all machines of a group"
        yield fail("node token", "TOLLWAY_NODE_TOKEN is not set", remedy)
        return
    try:
        name = known_name(settings) or "a-name-of-its-own"
    except (SettingError, StartProblem) as problem:
        yield fail("node", str(problem), "correct what it names")
        return
    enrolment = Enrolment(settings.node_token, settings.data, name, "")
    if settings.node and settings.machine:
        said = f"TOLLWAY_NODE={settings.node} beside {settings.machine}, which the platform calls this machine"
        yield warn("node", said, "unset TOLLWAY_NODE where machines share their settings: only one of them would serve")
    if enrolment.token:
        answer = _post(client, "poll", Poll(name, 0), enrolment.token)
    else:
        answer = _post(client, ENROL, {}, enrolment.group_token)
    if answer.status_code in (401, 403):
        said = without_secrets(said_by(answer.content) or "without a reason")
        remedy = "`tollway nodes list` and `nodes groups` at the collector show what is valid"
        yield fail("node token", f"is refused: {said}", remedy)
    elif answer.status_code == 404:
        remedy = "TOLLWAY_COLLECTOR_URL is where `tollway collector` listens, not an edge or a page"
        yield fail("collector", "nothing there speaks to nodes", remedy)
    elif enrolment.token and answer.status_code != 200:
        yield fail("node token", f"could not be tried ({answer.status_code})", "`tollway doctor collector` on its machine")
    else:
        kind = "its group's" if settings.node_token.startswith(GROUP_PREFIX) else "its own"
        yield ok("node", f"{name}, with {kind} token")
        if enrolment.token:
            yield from _skew(msgspec.json.decode(answer.content, type=Polled).now_ms)


def _post(client: "httpx.Client", name: str, message: object, token: str) -> "httpx.Response":  # type: ignore[name-defined]  # noqa: F821
    return client.request(METHOD, path_of(name), content=msgspec.json.encode(message), headers=request_headers(token))


def _skew(collector_ms: int) -> Iterator[Finding]:
    skew_ms = time.time_ns() // 1_000_000 - collector_ms
    if not collector_ms or abs(skew_ms) <= TOLERANCE_MS:
        yield ok("clock", "agrees with the collector's")
        return
    said = (
        f"{round(abs(skew_ms) / 1000)} s {'ahead of' if skew_ms > 0 else 'behind'} the collector's, by which keys and windows go"
    )
    yield warn("clock", said, "set the clock of the machine that is wrong (chrony, systemd-timesyncd)")
