"""The machine itself: data folder and disk, ports, open files, memory, processors, trust store, clock."""

import errno
import os
import resource
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from edge.data_folder import PRIVATE, holder, prove_writable
from edge.doctor.finding import Finding, fail, ok, warn
from edge.limits.capacity import memory_bytes, processors
from edge.settings import Settings

FREE_BYTES_MIN = 64 << 20
MEMORY_BYTES_MIN = 128 << 20
DESCRIPTORS_MIN = 4_096
SWAPPED_KIB_MAX = 16 << 10
FILES_MIN = 64
"""Free inodes: a segment of the journal is a file, and so is each `Idempotency-Key` among workers."""
EARLIEST_S = 1_767_225_600
"""The first of January 2026: no machine that runs this lives before it."""
_MIB = 1 << 20


def look_at_machine(settings: Settings) -> Iterator[Finding]:
    """All of it, the cheapest first."""
    yield from _processors(settings)
    yield from _memory(settings)
    yield from _descriptors()
    yield from _clock()
    yield from _trust()
    yield from _folder(settings)
    serving = holder(settings.data)
    if serving:
        yield ok("process", f"tollway serves from this data folder (pid {serving})")
        yield from _swapped(serving)
    else:
        yield from _ports(settings)
    yield from _admin(settings)
    yield from _proxies(settings)
    yield from _drain(settings)


def _processors(settings: Settings) -> Iterator[Finding]:
    cores = processors()
    if settings.workers > 1 and settings.collector_url is None:
        remedy = "set TOLLWAY_COLLECTOR_URL to a collector of its own, or TOLLWAY_WORKERS to 1"
        yield fail("workers", f"{settings.workers} workers cannot share an embedded collector", remedy)
    elif settings.workers > max(cores, 1):
        remedy = f"TOLLWAY_WORKERS={max(int(cores), 1)} is as fast; a container's limit counts"
        yield warn("workers", f"{settings.workers} workers on {cores:g} processors", remedy)
    else:
        yield ok("workers", f"{settings.workers} on {cores:g} processors")


def _memory(settings: Settings) -> Iterator[Finding]:
    memory = memory_bytes() // settings.workers
    each = "each worker" if settings.workers > 1 else "this process"
    if memory < MEMORY_BYTES_MIN:
        yield warn("memory", f"{memory // _MIB} MiB for {each}", "give it 256 MiB: bodies and streams are bounded by it")
    else:
        yield ok("memory", f"{memory // _MIB} MiB for {each}")


def _swapped(pid: int) -> Iterator[Finding]:
    try:
        rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines())
        swapped_kib = int(rows.get("VmSwap", "0 kB").split()[0])
    except (OSError, ValueError):
        return
    if swapped_kib > SWAPPED_KIB_MAX:
        said = f"{swapped_kib >> 10} MiB of it (pid {pid}) are swapped out, so that requests wait for the disk"
        yield warn("memory", said, "give the machine more memory, or take something else from it")


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
            errno.EDQUOT: "raise this user's quota on that disk",
            errno.EROFS: "mount a writable volume there, or TOLLWAY_DATA names another folder",
        }.get(error.errno or 0, f"let user {uid} write there (chown {uid} {data}), or TOLLWAY_DATA names another folder")
        if error.errno == errno.ENOSPC and not _free_files(data):
            remedy = "delete many small files there (`df -i` counts them), or make the file system with more inodes"
            yield fail(subject, "cannot be written: bytes are free, and no inode is", remedy)
            return
        yield fail(subject, f"cannot be written: {error.strerror}", remedy)
        return
    if stranger := _not_ours(data):
        path, owner = stranger
        remedy = f"chown -R {os.geteuid()} {data}: something ran here as user {owner} once, perhaps `sudo tollway …`"
        yield fail(subject, f"{path} in it is user {owner}'s, and this process (user {os.geteuid()}) may not write it", remedy)
        return
    free, files = shutil.disk_usage(data).free, _free_files(data)
    kind = _kind_of_file_system(data)
    if not existed:
        data.rmdir()
    if free < FREE_BYTES_MIN:
        yield fail(subject, f"{free // _MIB} MiB are free", "make room: without it paid work is refused")
    elif free < settings.journal_bytes_max:
        said = f"{free // _MIB} MiB are free, and the journal may take {settings.journal_bytes_max // _MIB} MiB"
        yield warn(subject, said, "make room, or set TOLLWAY_JOURNAL_BYTES_MAX below what is free")
    elif files < FILES_MIN:
        yield warn(subject, f"{files} more files may be made there", "`df -i` counts them: delete small files, or move it")
    else:
        yield ok(subject, f"writable, {free // _MIB} MiB free")
    yield from _file_system(kind, subject)
    if existed and data.stat().st_mode & PRIVATE:
        yield warn(subject, "others of this machine may read it", f"chmod -R go= {data}; the next start does it")


def _file_system(kind: str, subject: str) -> Iterator[Finding]:
    remedy = "mount a disk there, or TOLLWAY_DATA names a folder on one"
    if kind in ("tmpfs", "ramfs"):
        yield warn(subject, f"is in memory ({kind}): what was not shipped is gone when the machine is", remedy)
    elif kind == "overlay":
        yield warn(subject, f"is in the container's own layer ({kind}): what was not shipped is gone with the container", remedy)
    elif kind in ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "fuse.glusterfs"):
        said = f"is on another machine ({kind}): each request waits for the network, and a lock there may outlive its process"
        yield warn(subject, said, remedy)


def _free_files(path: Path) -> int:
    """Inodes that may yet be made; some file systems make them as they go, and say 0 of 0."""
    while not path.exists():
        path = path.absolute().parent
    facts = os.statvfs(path)
    return facts.f_favail if facts.f_files else FILES_MIN


def _not_ours(data: Path) -> tuple[Path, int] | None:
    """Something in the folder that this process may not write, and whose it is."""
    by_effective = os.access in os.supports_effective_ids
    for folder, folders, files in os.walk(data):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() or os.access(path, os.W_OK, effective_ids=by_effective):
                continue
            with suppress(FileNotFoundError):  # an edge that runs here deletes what it has shipped
                return path.relative_to(data), path.lstat().st_uid
    return None


def _kind_of_file_system(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Empty where that cannot be told."""
    try:
        rows = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    whole = path.resolve()
    over = [(len(row[1]), row[2]) for row in rows if len(row) > 2 and whole.is_relative_to(row[1].replace("\\040", " "))]
    return max(over, default=(0, ""))[1]


def _ports(settings: Settings) -> Iterator[Finding]:
    wanted = [("port", settings.host, settings.port, "PORT")]
    if settings.admin is not None:
        wanted.append(("admin port", *settings.admin, "TOLLWAY_ADMIN"))
    for each in wanted:
        yield from _port(*each)


def _port(subject: str, host: str, port: int, variable: str) -> Iterator[Finding]:
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


def _drain(settings: Settings) -> Iterator[Finding]:
    if settings.drain_notice_s and settings.drain_notice_s >= settings.drain_grace_s:
        said = (
            f"TOLLWAY_DRAIN_NOTICE_S={settings.drain_notice_s} leaves nothing of TOLLWAY_DRAIN_GRACE_S={settings.drain_grace_s}"
        )
        yield warn("leaving", f"{said}: what runs is cut", "the grace counts from the signal, as the notice does: make it longer")
