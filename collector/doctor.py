"""The collector's part of `tollway doctor`: its machine, its settings and the books; it changes nothing.

Each finding is (level, subject, what is said, remedy), the level being ok, warn or fail.
"""

import errno
import os
import resource
import shutil
import socket
import sqlite3
import ssl
import time
from collections.abc import Generator, Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from collector.accounts.window import DAY_MS
from collector.leasing.nodes import list_nodes
from collector.serve import NoStart, read_port
from collector.service import now_ms
from collector.settings import READERS
from collector.store.contract import NoBooks, Store, StoreUnavailable, Tx
from collector.store.opening import name_of_store, open_store
from collector.store.schema import VERSION, SchemaTooNew
from usage.key import without_secrets
from usage.pricing import dollars

Finding = tuple[str, str, str, str]
FREE_BYTES_MIN = 256 << 20
NAMED_MAX = 5
DESCRIPTORS_MIN = 1_024
EARLIEST_S = 1_767_225_600
"""The first of January 2026: no machine that runs this lives before it."""


def look_at_collector(environ: Mapping[str, str]) -> Iterator[Finding]:
    """A machine that serves as a collector of its own."""
    yield from _machine()
    yield from _port(environ)
    yield from look_at_books(environ)


def _machine() -> Iterator[Finding]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS_MIN:
        remedy = "raise it: LimitNOFILE=65536 in systemd, ulimits in Docker, `ulimit -n`"
        yield "warn", "open files", f"at most {hard}: each edge, page and database connection is one", remedy
    if time.time() < EARLIEST_S:
        said = time.strftime("it is %Y-%m-%d here", time.gmtime())
        yield "fail", "clock", said, "set the clock (chrony, systemd-timesyncd): leases and the books go by it"
    try:
        ssl.create_default_context()
    except (OSError, ssl.SSLError) as error:
        remedy = "SSL_CERT_FILE names a file that is none; unset it"
        yield "fail", "trusted authorities", f"cannot be read: {error}", remedy
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        said = "are not there: --tz and the dashboard know UTC alone"
        yield "warn", "time zones", said, "install the package tzdata"


def _port(environ: Mapping[str, str]) -> Iterator[Finding]:
    host = environ.get("HOST") or "0.0.0.0"
    try:
        port = read_port(environ)
    except NoStart as problem:
        yield "fail", "port", str(problem), "such as PORT=8100"
        return
    at = f"{host}:{port}"
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, UnicodeError) as error:
        if _is_collector(host, port):
            yield "ok", "port", f"{at}: a collector serves there", ""
            return
        is_taken = getattr(error, "errno", 0) == errno.EADDRINUSE
        remedy = "stop what listens there, or PORT names another" if is_taken else "HOST and PORT name an address of this machine"
        yield "fail", "port", f"{at} cannot be listened on: {getattr(error, 'strerror', '') or error}", remedy
    else:
        yield "ok", "port", f"{at} is free", ""


def _is_collector(host: str, port: int) -> bool:
    connection = HTTPConnection({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, timeout=2.0)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().read(16) == b"ok\n"
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def look_at_books(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Findings on the store that the environment names, one after the other; nothing is made or changed."""
    is_named = yield from _settings(environ)
    if not is_named:
        return
    name = f"books {name_of_store(environ)}"
    if not environ.get("TOLLWAY_DATABASE"):
        problem = _file_problem(environ)
        if problem is not None:
            yield "fail", name, *problem
            return
    try:
        store = open_store(environ, makes=False)
    except NoBooks:
        yield "ok", name, "not made yet; the first start makes them", ""
        return
    except SchemaTooNew as error:
        yield "fail", name, str(error), "run the release that wrote them, or a newer one"
        return
    except (StoreUnavailable, ValueError, OSError) as error:
        remedy = "start the database, or correct TOLLWAY_DATABASE" if environ.get("TOLLWAY_DATABASE") else "restore a backup"
        yield "fail", name, without_secrets(str(error)), remedy
        return
    try:
        yield from _inside(store, name)
    except StoreUnavailable as error:
        yield "fail", name, str(error), "restore the newest backup (docs/operations.md)"
    finally:
        store.close()


def _settings(environ: Mapping[str, str]) -> Generator[Finding, None, bool]:
    """What the variables say; whether they name a store."""
    for read in READERS:
        try:
            read(environ)
        except ValueError as error:
            yield "fail", "settings", str(error), "correct the variable that it names"
    url = environ.get("TOLLWAY_DATABASE", "")
    if url and not url.startswith(("postgresql://", "postgres://")):
        yield "fail", "settings", "TOLLWAY_DATABASE is no postgresql:// address", "correct it, or unset it for SQLite"
        return False
    public = environ.get("TOLLWAY_PUBLIC_URL", "")
    if public and (urlsplit(public).scheme not in ("http", "https") or not urlsplit(public).hostname):
        yield "fail", "settings", "TOLLWAY_PUBLIC_URL is no http:// or https:// address", "correct it: links are made of it"
    elif public.startswith("http://") and urlsplit(public).hostname not in ("localhost", "127.0.0.1", "::1"):
        said = "TOLLWAY_PUBLIC_URL is http://, and browsers keep the dashboard's cookie over https alone"
        yield "warn", "settings", said, "put TLS before it"
    if bool(environ.get("TOLLWAY_STRIPE_KEY")) != bool(environ.get("TOLLWAY_STRIPE_WEBHOOK_SECRET")):
        said = "one of TOLLWAY_STRIPE_KEY and TOLLWAY_STRIPE_WEBHOOK_SECRET is set, and they are of use together only"
        yield "warn", "settings", said, "set both, or none"
    mail = environ.get("TOLLWAY_SMTP_URL", "")
    if mail and (urlsplit(mail).scheme not in ("smtp", "smtps") or not urlsplit(mail).hostname):
        yield "fail", "settings", "TOLLWAY_SMTP_URL is no smtp:// or smtps:// address", "correct it: alerts are mailed by it"
    return True


def _file_problem(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """(what is wrong, remedy) of the file of a SQLite, before anything opens it for writing."""
    folder = Path(environ.get("TOLLWAY_DATA") or "./data")
    path = folder / "collector.db"
    if not path.exists():
        return None
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(folder, os.W_OK):
        return f"user {os.geteuid()} may not write there", f"chown -R {os.geteuid()} {folder}, or run as its owner"
    if shutil.disk_usage(folder).free < FREE_BYTES_MIN:
        return "less than 256 MiB are free beside them", "make room: what cannot be written is not acknowledged to edges"
    try:
        connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=2.0)
        try:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found > VERSION:
                return (
                    f"of schema {found}; this release knows up to {VERSION}",
                    "run the release that wrote them, or a newer",
                )
            said = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
        finally:
            connection.close()
    except sqlite3.Error as error:
        return f"cannot be read: {error}", "restore the newest backup (docs/operations.md)"
    return None if said == ["ok"] else (f"damaged: {said[0]}", "restore the newest backup (docs/operations.md)")


def _inside(store: Store, name: str) -> Iterator[Finding]:
    now = now_ms()

    def work(tx: Tx) -> tuple[int, int]:
        (accounts,) = tx.row("SELECT COUNT(*) FROM accounts") or (0,)
        (newest_ms,) = tx.row("SELECT COALESCE(MAX(at_ms), 0) FROM postings") or (0,)
        return accounts, newest_ms

    accounts, newest_ms = store.read(work)
    if newest_ms > now + DAY_MS:
        said = "their newest entry is more than a day ahead of this machine's clock"
        yield "fail", name, said, "set the clock of this machine, before anything is booked by it"
        return
    yield "ok", name, f"readable, {accounts} accounts", ""
    rows = store.read(lambda tx: list_nodes(tx, now))
    behind = [row.node for row in rows if row.behind]
    if behind:
        remedy = "start the edge with its folder; if it is lost, `tollway nodes accept-gap NODE`"
        yield "warn", "nodes", f"facts are missing of {', '.join(behind[:NAMED_MAX])}", remedy
    rejected = [row for row in rows if row.rejected]
    if rejected:
        said = f"records of {', '.join(row.node for row in rejected[:NAMED_MAX])} were refused: {rejected[0].rejected_why}"
        yield "warn", "nodes", said, "`tollway nodes list` has the reasons; the edges keep them in dead.log"
    stranded = sum(row.stranded_nano for row in rows)
    if stranded:
        said = f"{dollars(stranded)} dollars lie in leases of nodes that nobody hears of"
        yield "warn", "nodes", said, "start them again, or `tollway nodes forfeit NODE` when their disks are gone for good"
    if rows and not (behind or rejected or stranded):
        yield "ok", "nodes", f"{len(rows)}, none of them behind", ""
