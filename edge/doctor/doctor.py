"""The examination, in the order in which things are needed; it changes nothing that it looks at.

Rule: a thing that is wrong is said once, with its remedy; what hangs on it is not looked at. The exit status is 1 when this
machine cannot serve.
"""

import importlib
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import msgspec

from edge.commands.printing import print_json
from edge.doctor.finding import Finding, fail, ok, warn
from edge.doctor.journal import look_at_journal
from edge.doctor.link import look_at_collector, look_at_receiver
from edge.doctor.machine import look_at_machine
from edge.doctor.table import look_at_table
from edge.doctor.variables import look_at_variables
from edge.settings import SettingError, Settings

NEEDED = ("granian", "httptools", "httpx", "msgspec", "starlette", "uvloop")
LookAtCollector = Callable[[Mapping[str, str]], Iterable[tuple[str, str, str, str]]]
"""(level, subject, what is said, remedy) of each finding."""


class CollectorsPart(Protocol):
    """What the collector's own rooms look at (`collector`): a machine that serves as one, and the books alone."""

    @property
    def look_at_collector(self) -> LookAtCollector: ...
    @property
    def look_at_books(self) -> LookAtCollector: ...


def examine(role: str, collectors: CollectorsPart | None, environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """`role`: edge, or collector. An edge whose collector is embedded is both."""
    yield from _installation()
    yield from look_at_variables(environ)
    if role == "collector":
        yield from _told(None if collectors is None else collectors.look_at_collector, environ)
        return
    try:
        settings = Settings.read(environ)
    except SettingError as error:
        yield fail("settings", str(error), "correct the variable that it names")
        return
    yield from look_at_machine(settings)
    yield from look_at_table(settings, environ)
    yield from look_at_journal(settings)
    yield from look_at_receiver(settings)
    if settings.collector_url is not None:
        yield from look_at_collector(settings)
    else:
        yield from _told(None if collectors is None else collectors.look_at_books, environ)


def _installation() -> Iterator[Finding]:
    missing = [name for name in NEEDED if not _has(name)]
    if missing:
        yield fail("installation", f"these packages are not there: {', '.join(missing)}", "run scripts/install again")
    else:
        yield ok("python", f"{platform.python_version()} on {platform.system()} {platform.release()}")


def _has(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _told(look: LookAtCollector | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    if look is None:
        yield fail("collector", "there is none in this installation", "set TOLLWAY_COLLECTOR_URL to where one runs")
        return
    kinds = {"ok": lambda subject, said, _: ok(subject, said), "warn": warn, "fail": fail}
    for level, subject, said, remedy in look(environ):
        yield kinds[level](subject, said, remedy)


def run(role: str, collectors: CollectorsPart | None, *, as_json: bool) -> int:
    """Print what is found, as it is found; the exit status."""
    findings: list[Finding] = []
    for finding in examine(role, collectors):
        findings.append(finding)
        if not as_json:
            sys.stdout.write(finding.lines())
            sys.stdout.flush()
    if as_json:
        print_json(msgspec.to_builtins(findings))
    failed = sum(finding.level == "fail" for finding in findings)
    warned = sum(finding.level == "warn" for finding in findings)
    if not as_json:
        sys.stdout.write(f"{failed} wrong, {warned} to look at, {len(findings) - failed - warned} well\n")
    return 1 if failed else 0
