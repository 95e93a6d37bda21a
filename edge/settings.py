"""What the environment says about this process; the only place that reads it.

Every setting has a default that works on one machine. A value that cannot be meant is refused with the variable's name.
"""

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal, cast, get_args

import msgspec

Durability = Literal["os", "group", "strict"]
"""When a record may be shipped: "os", once in the kernel; "group", once on disk; "strict", and the response ends only then."""
ServerName = Literal["native", "granian"]
RequestLogForm = Literal["off", "auto", "json", "text"]
RequestLogLevel = Literal["info", "warning", "error"]
LISTEN_FD, ADMIN_FD, SUPERVISOR_FD = "TOLLWAY_LISTEN_FD", "TOLLWAY_ADMIN_FD", "TOLLWAY_SUPERVISOR_FD"
JOIN_WAIT_S = "TOLLWAY_JOIN_WAIT_S"
"""What a supervisor says to its workers; nobody else sets these."""
WORKERS = "TOLLWAY_WORKERS"
WORKERS_MAX = 256
Networks = tuple[IPv4Network | IPv6Network, ...]
PRIVATE_NETWORKS: Networks = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
"""From which no caller comes over the internet: load balancers, sidecars and platforms' proxies (Fly's among them) do."""


class SettingError(Exception):
    """A variable of the environment has a value that cannot be meant."""


class Settings(msgspec.Struct, frozen=True):
    """Where things are and who we are.

    `collector_url` None means that the collector is embedded. `node` names this machine to the collector (default: what its
    platform calls it, `machine`, or its host's name and some chance; made once and kept in the data folder). `node_token` is
    this node's own, or its group's, with which it enrols.

    `durability` is the journal's: "os" (safe against kill -9), "group" (also against power cuts, but for a few milliseconds),
    "strict" (an answer's end waits for the disk). `server` is what listens: "native" (our own, HTTP/1.1)
    or "granian" (also HTTP/2 without TLS).

    `trusted_proxies`: peers that bring many callers, such as load balancers; `connections_per_address` is the bound of any other
    (None: a quarter of all). `client_address_header`: in which a trusted proxy names the caller's address; None: it is the
    peer's.

    `listen_fd`, `admin_fd`: listening sockets that a supervisor (`edge.workers`) hands over, in place of `port` and `admin`;
    `supervisor_fd` a pipe whose other end it holds; `join_wait_s` how long at most it waits for the collector before it listens;
    `workers` how many processes share this machine, and `worker_silent_s` how
    long one of them may answer nothing before it is ended and replaced.
    `notify_socket` is systemd's. `node_token` may be in a file (`file:PATH`).

    `log_requests`: a line per paid request on stdout, as JSON, as text, or what suits where it goes ("auto"); `log_level` is the
    least that is told. `otlp_url`: where spans of requests go whose callers sample them.

    `drain_notice_s`: how long, told to go, it serves on with a red readiness, so that the balancer sees it. `drain_grace_s`: how
    long after that signal running requests may go on; the platform's own limit (kill_timeout, TimeoutStopSec,
    terminationGracePeriodSeconds) should be 15 s more, for what is shipped then.
    """

    host: str
    port: int
    data: Path
    providers: Path
    collector_url: str | None
    node: str | None
    node_token: str | None
    durability: Durability
    journal_bytes_max: int
    server: ServerName
    trusted_proxies: Networks = ()
    connections_per_address: int | None = None
    client_address_header: bytes | None = None
    admin: tuple[str, int] | None = None
    listen_fd: int | None = None
    admin_fd: int | None = None
    supervisor_fd: int | None = None
    join_wait_s: int | None = None
    workers: int = 1
    worker_silent_s: int = 30
    notify_socket: str | None = None
    log_requests: RequestLogForm = "off"
    log_level: RequestLogLevel = "info"
    otlp_url: str | None = None
    drain_notice_s: int = 5
    drain_grace_s: int = 20
    machine: str = ""
    region: str = ""
    """Where this machine is, for a route's `when.region`: TOLLWAY_REGION, or Fly's."""

    @staticmethod
    def read(environ: Mapping[str, str] = os.environ) -> "Settings":
        """The settings in `environ`. SettingError names the variable that is wrong."""
        url = environ.get("TOLLWAY_COLLECTOR_URL") or None
        if url is not None and not url.startswith(("http://", "https://")):
            raise SettingError(f"TOLLWAY_COLLECTOR_URL must begin with http:// or https://, not {url!r}")
        durability = _word(environ, "TOLLWAY_DURABILITY", "group", get_args(Durability))
        server = environ.get("TOLLWAY_SERVER", "native")
        if server not in ("native", "granian"):
            raise SettingError(f"TOLLWAY_SERVER must be native or granian, not {server!r}")
        return Settings(
            host=environ.get("HOST", "0.0.0.0"),
            port=_number(environ, "PORT", 8000, 65_535),
            data=Path(environ.get("TOLLWAY_DATA", "./data")),
            providers=Path(environ.get("TOLLWAY_PROVIDERS", "./providers.toml")),
            collector_url=url.rstrip("/") if url else None,
            node=environ.get("TOLLWAY_NODE") or None,
            node_token=secret_of(environ, "TOLLWAY_NODE_TOKEN"),
            machine=environ.get("FLY_MACHINE_ID") or environ.get("POD_NAME") or "",
            region=environ.get("TOLLWAY_REGION") or environ.get("FLY_REGION") or "",
            durability=cast(Durability, durability),
            journal_bytes_max=_number(environ, "TOLLWAY_JOURNAL_BYTES_MAX", 2 << 30, 1 << 50),
            server=cast(ServerName, server),
            listen_fd=_fd(environ, LISTEN_FD),
            admin_fd=_fd(environ, ADMIN_FD),
            supervisor_fd=_fd(environ, SUPERVISOR_FD),
            join_wait_s=_fd(environ, JOIN_WAIT_S),
            notify_socket=environ.get("NOTIFY_SOCKET"),
            workers=_number(environ, WORKERS, 1, WORKERS_MAX),
            worker_silent_s=_number(environ, "TOLLWAY_WORKER_SILENT_S", 30, 3_600),
            drain_notice_s=_number(environ, "TOLLWAY_DRAIN_NOTICE_S", 5, 3_600, least=0),
            drain_grace_s=_number(environ, "TOLLWAY_DRAIN_GRACE_S", 20, 86_400, least=0),
            trusted_proxies=_networks(environ.get("TOLLWAY_TRUSTED_PROXIES", "private")),
            connections_per_address=_number(environ, "TOLLWAY_CONNECTIONS_PER_ADDRESS", 0, 1_000_000) or None,
            client_address_header=_header(environ.get("TOLLWAY_CLIENT_ADDRESS_HEADER", "")),
            log_requests=cast(RequestLogForm, _word(environ, "TOLLWAY_LOG_REQUESTS", "off", ("off", "auto", "json", "text"))),
            log_level=cast(RequestLogLevel, _word(environ, "TOLLWAY_LOG_LEVEL", "info", ("info", "warning", "error"))),
            otlp_url=_http_url(environ, "TOLLWAY_OTLP_URL"),
            admin=_address(environ.get("TOLLWAY_ADMIN", ""), _number(environ, "PORT", 8000, 65_535)),
        )


def secret_of(environ: Mapping[str, str], name: str) -> str | None:
    """The value, or what the file holds that `file:PATH` names."""
    value = environ.get(name) or None
    if value is None or not value.startswith("file:"):
        return value
    try:
        return Path(value.removeprefix("file:")).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{name} is {value}, which cannot be read: {error}") from None


def _fd(environ: Mapping[str, str], name: str) -> int | None:
    return _number(environ, name, 0, 1 << 20, least=0) if environ.get(name) else None


def _address(text: str, port: int) -> tuple[str, int] | None:
    """`host:port`, `none`, or by default the loopback interface and 1000 above the callers' port."""
    if text == "none":
        return None
    if not text:
        return "127.0.0.1", port + 1_000 if port + 1_000 < 65_536 else port - 1_000
    host, colon, number = text.rpartition(":")
    if not colon or not host or not number.isdigit() or not 0 < int(number) < 65_536:
        raise SettingError(f"TOLLWAY_ADMIN must be host:port such as 127.0.0.1:9000, or none, not {text!r}")
    return host.strip("[]"), int(number)


def _networks(text: str) -> Networks:
    """`private`, `none`, or addresses and networks separated by commas."""
    if text == "private":
        return PRIVATE_NETWORKS
    if text in ("", "none"):
        return ()
    try:
        return tuple(ip_network(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise SettingError(
            f"TOLLWAY_TRUSTED_PROXIES must be private, none, or networks such as 10.0.0.0/8,fd00::/8: {error}"
        ) from None


def _header(text: str) -> bytes | None:
    if text and not re.fullmatch(r"[A-Za-z0-9-]{1,64}", text):
        raise SettingError(f"TOLLWAY_CLIENT_ADDRESS_HEADER must be a header's name such as x-forwarded-for, not {text!r}")
    return text.lower().encode() or None


def _word(environ: Mapping[str, str], name: str, default: str, words: tuple[str, ...]) -> str:
    text = environ.get(name) or default
    if text not in words:
        raise SettingError(f"{name} must be {', '.join(words[:-1])} or {words[-1]}, not {text!r}")
    return text


def _http_url(environ: Mapping[str, str], name: str) -> str | None:
    text = environ.get(name) or None
    if text is not None and not text.startswith(("http://", "https://")):
        raise SettingError(f"{name} must begin with http:// or https://, not {text!r}")
    return text


def _number(environ: Mapping[str, str], name: str, default: int, most: int, least: int = 1) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20) or not least <= int(text) <= most:
        raise SettingError(f"{name} must be a whole number from {least} to {most}, not {text!r}")
    return int(text)
