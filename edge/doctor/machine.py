"""The machine itself: data folder and disk, ports, open files, memory, processors, trust store, clock."""

import errno
import os
import resource
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from edge.data_folder import PRIVATE, holder, prove_writable
from edge.doctor.finding import Finding, fail, ok, warn
from edge.limits.capacity import memory_bytes
from edge.settings import Settings

FREE_BYTES_MIN = 64 << 20
MEMORY_BYTES_MIN = 128 << 20
DESCRIPTORS_MIN = 4_096
EARLIEST_S = 1_767_225_600
"""The first of January 2026: no machine that runs this lives before it."""
_MIB = 1 << 20


def look_at_machine(settings: Settings) -> Iterator[Finding]:
    """All of it, the cheapest first."""
    yield from _processors(settings)
    yield from _memory()
    yield from _descriptors()
    yield from _clock()
    yield from _trust()
    yield from _folder(settings)
    serving = holder(settings.data)
    if serving:
        yield ok("process", f"tollway serves from this data folder (pid {serving})")
    else:
        yield from _ports(settings)
    yield from _admin(settings)
    yield from _proxies(settings)


def _processors(settings: Settings) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if settings.workers > 1 and settings.collector_url is None:
        remedy = "set TOLLWAY_COLLECTOR_URL to a collector of its own, or TOLLWAY_WORKERS to 1"
        yield fail("workers", f"{settings.workers} workers cannot share an embedded collector", remedy)
    elif settings.workers > cores:
        yield warn("workers", f"{settings.workers} workers on {cores} processors", f"TOLLWAY_WORKERS={cores} is as fast")
    else:
        yield ok("workers", f"{settings.workers} on {cores} processors")


def _memory() -> Iterator[Finding]:
    memory = memory_bytes()
    if memory < MEMORY_BYTES_MIN:
        yield warn("memory", f"{memory // _MIB} MiB for this process", "give it 256 MiB: bodies and streams are bounded by it")
    else:
        yield ok("memory", f"{memory // _MIB} MiB")


def _descriptors() -> Iterator[Finding]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS_MIN:
        remedy = "raise it: LimitNOFILE=65536 in systemd, ulimits in Docker, `ulimit -n`"
        yield warn("open files", f"at most {hard}, so less than {hard // 2} callers at once", remedy)
    else:
        yield ok("open files", "as many as are needed" if hard == resource.RLIM_INFINITY else f"at most {hard}")


def _clock() -> Iterator[Finding]:
    if time.time() < EARLIEST_S:
        said = time.strftime("it is %Y-%m-%d here", time.gmtime())
        yield fail("clock", said, "set the clock (chrony, systemd-timesyncd): certificates and usage go by it")
    else:
        yield ok("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))


def _trust() -> Iterator[Finding]:
    try:
        known = ssl.create_default_context().cert_store_stats()["x509_ca"]
    except (OSError, ssl.SSLError) as error:
        yield fail("trusted authorities", f"cannot be read: {error}", "SSL_CERT_FILE names a file that is none; unset it")
        return
    paths = ssl.get_default_verify_paths()
    if not known and not (paths.capath and os.path.isdir(paths.capath) and os.listdir(paths.capath)):
        remedy = "install the package ca-certificates, or set SSL_CERT_FILE"
        yield fail("trusted authorities", "there are none, so no provider can be reached over TLS", remedy)
    else:
        yield ok("trusted authorities", f"{known or 'a folder of them'}")


def _folder(settings: Settings) -> Iterator[Finding]:
    data, subject = settings.data, f"data folder {settings.data}"
    if data.exists() and not data.is_dir():
        yield fail(subject, "is no folder", "TOLLWAY_DATA names another")
        return
    existed = data.exists()
    try:
        prove_writable(data)
    except OSError as error:
        uid = os.geteuid()
        remedy = {
            errno.ENOSPC: "make room, or mount a larger volume: usage that cannot be written is work that is refused",
            errno.EROFS: "mount a writable volume there, or TOLLWAY_DATA names another folder",
        }.get(error.errno or 0, f"let user {uid} write there (chown {uid} {data}), or TOLLWAY_DATA names another folder")
        yield fail(subject, f"cannot be written: {error.strerror}", remedy)
        return
    free = shutil.disk_usage(data).free
    if not existed:
        data.rmdir()
    if free < FREE_BYTES_MIN:
        yield fail(subject, f"{free // _MIB} MiB are free", "make room: without it paid work is refused")
    elif free < settings.journal_bytes_max:
        said = f"{free // _MIB} MiB are free, and the journal may take {settings.journal_bytes_max // _MIB} MiB"
        yield warn(subject, said, "make room, or set TOLLWAY_JOURNAL_BYTES_MAX below what is free")
    else:
        yield ok(subject, f"writable, {free // _MIB} MiB free")
    if kind := _fleeting(data):
        remedy = "mount a disk there, or TOLLWAY_DATA names a folder on one"
        yield warn(subject, f"is in memory ({kind}): what was not shipped is gone when the machine is", remedy)
    if existed and data.stat().st_mode & PRIVATE:
        yield warn(subject, "others of this machine may read it", f"chmod -R go= {data}; the next start does it")


def _fleeting(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The kind of file system that a path is on, if it forgets; empty if not, or where that cannot be told."""
    try:
        rows = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    whole = path.resolve()
    over = [(len(row[1]), row[2]) for row in rows if len(row) > 2 and whole.is_relative_to(row[1].replace("\\040", " "))]
    kind = max(over, default=(0, ""))[1]
    return kind if kind in ("tmpfs", "ramfs") else ""


def _ports(settings: Settings) -> Iterator[Finding]:
    wanted = [("port", settings.host, settings.port, "PORT")]
    if settings.admin is not None:
        wanted.append(("admin port", *settings.admin, "TOLLWAY_ADMIN"))
    for subject, host, port, variable in wanted:
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except (OSError, UnicodeError) as error:
            number = getattr(error, "errno", 0)
            said = f"{host}:{port} cannot be listened on: {getattr(error, 'strerror', '') or error}"
            yield fail(subject, said, _remedy_of_port(number, variable))
        else:
            yield ok(subject, f"{host}:{port} is free")


def _remedy_of_port(number: int, variable: str) -> str:
    if number == errno.EADDRINUSE:
        return f"stop what listens there, or {variable} names another"
    if number in (errno.EACCES, errno.EPERM):
        return f"ports below 1024 need a privilege: {variable} names one above, and the balancer maps it"
    return f"that is no address of this machine: {'HOST' if variable == 'PORT' else variable} names one, such as 0.0.0.0"


def _admin(settings: Settings) -> Iterator[Finding]:
    if settings.admin is None:
        return
    host, port = settings.admin
    try:
        address = ip_address(host)
    except ValueError:
        return
    if address.is_unspecified or address.is_global:
        said = f"{host}:{port} is open to whoever reaches this machine: figures of the business, without a credential"
        yield warn("admin port", said, "TOLLWAY_ADMIN=127.0.0.1:PORT, or an address of the private network")


def _proxies(settings: Settings) -> Iterator[Finding]:
    if settings.client_address_header and not settings.trusted_proxies:
        said = "TOLLWAY_CLIENT_ADDRESS_HEADER is set and no peer is trusted to send it"
        yield warn("client addresses", said, "TOLLWAY_TRUSTED_PROXIES names the balancer's network")
