"""How a changed providers.toml, or what it refers to, comes into force: looked at until it has settled, proved, then used.

Also asked for by SIGHUP (`edge.serve`) and by `tollway reload` (`edge.endpoints.control`).

Rule: a file is used when two looks at its content were equal (an editor may be half-way, whatever size and time it has), when it
reads as a table, when it is plausible (not empty, not cut off, not most providers gone), and when everything that requests need
could be made of it. Else the last good one keeps serving, and what was wrong is told in the log (the beginning of it: each worker
says it), on /metrics and on /readyz?verbose.
Rule: what is watched is all that the table was made of: the file, the files of its keys and of its certificates; and of a table
that reads but could not be used, so that the key it lacked is seen when it comes.
Rule: the file of a key or a certificate that was there and is gone, or cannot be read any more, is no order to do without it.
Strategy: contents are compared once a second, not times and sizes: that is right for every editor, mount and orchestrator. One
look at the shipped table costs 0.14 ms of CPU; watchfiles, measured beside it, costs 1.2 ms each second, 4.7 MB and 16 ms at the
start, and hears nothing of network file systems. Reading and parsing (70 ms for the shipped table) are done by a thread; what
takes the new table into use is some assignments on the loop.
Limits: `force` overrides what is implausible, nothing else.
"""

import asyncio
import logging
import time
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import msgspec

from edge.providers.secrets import resolve
from routing.table.config import Config, parse
from routing.table.problem import ConfigError
from routing.table.provider import ECHO

log = logging.getLogger("tollway.table")
LOOK_S = 1.0
SETTLE_S = 0.25
"""Between the two looks of a reload that was asked for."""
SETTLES_MAX = 20
FILE_BYTES_MAX = 16 * 1024 * 1024
LOGGED_LINES_MAX = 6


class Outcome(msgspec.Struct, frozen=True):
    """Of one reload: which version is in force after it, since when (Unix seconds), and why the file is not, if it is not."""

    version: str
    succeeded: bool
    at_s: float
    problem: str = ""
    is_changed: bool = False


class Unusable(Exception):
    """Why a file is not used; the text is for the operator."""


class Sources(msgspec.Struct, frozen=True):
    """What a table is made of, at one look: the text, the secrets by reference, and a digest of each file of certificates."""

    text: bytes
    secrets: dict[str, str]
    certificates: dict[str, str]


class Configurable(Protocol):
    """The table in force (`edge.providers.table`)."""

    config: Config
    sources: Sources

    def adopt(self, config: Config, sources: Sources) -> None:
        """Use it from now on; Unusable or ValueError: it cannot be, and nothing has changed."""


def references(config: Config) -> frozenset[str]:
    return frozenset(ref for provider in config.providers.values() for ref in provider.key_refs)


def read_sources(path: Path, config: Config) -> Sources:
    """All that a table is made of, as it is now. OSError."""
    with path.open("rb") as file:
        text = file.read(FILE_BYTES_MAX + 1)
    return sources_of(text, config, is_quiet=True)


def sources_of(text: bytes, config: Config, *, is_quiet: bool = False) -> Sources:
    places = sorted({provider.ca_file for provider in config.providers.values() if provider.ca_file is not None})
    return Sources(text, resolve(references(config), is_quiet=is_quiet), {place: _digest(place) for place in places})


def _digest(place: str) -> str:
    try:
        return blake2b(Path(place).read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def read_config(text: bytes) -> Config:
    """The table of a text. Unusable."""
    if not text.strip():
        raise Unusable("it is empty")
    if len(text) > FILE_BYTES_MAX:
        raise Unusable(f"it is larger than {FILE_BYTES_MAX} bytes")
    try:
        return parse(text.decode())
    except ConfigError as error:
        raise Unusable(f"it is wrong:\n{error}") from None
    except (ValueError, RecursionError) as error:
        raise Unusable(f"it cannot be read: {error}") from None


def check_plausible(before: Config, after: Config) -> None:
    """Unusable: nobody means that, who does not say so."""
    had = {name for name in before.providers if name != ECHO}
    gone = sorted(had - after.providers.keys())
    if len(had) >= 2 and len(gone) > len(had) / 2:
        names = ", ".join(gone[:5]) + (", …" if len(gone) > 5 else "")
        raise Unusable(f"{len(gone)} of {len(had)} providers would be gone ({names}): `tollway reload --force`, if that is meant")


def check_whole(before: bytes, after: bytes) -> None:
    """Unusable: it ends within a line, as the one before did not. What is cut off there may read well, with a shorter number."""
    if before.endswith(b"\n") and not after.endswith(b"\n"):
        # Its number alone: it may be a header's, with a secret in it, and what is wrong is told in places that many read.
        last = after.count(b"\n") + 1
        raise Unusable(f"it seems to be cut off, since its last line, {last}, has no end: end it, or `tollway reload --force`")


def check_keys(before: Sources, after: Sources, config: Config) -> None:
    """Unusable: a key that requests are sent with now could not be read any more."""
    gone = sorted(references(config) & before.secrets.keys() - after.secrets.keys())
    if gone:
        names = ", ".join(gone)
        raise Unusable(f"{names}: there is no key any more: put it back, take it out of the table, or `tollway reload --force`")


class Reloader:
    """Keeps one table up to date with its file. `outcome` is the last reload's, the start at first."""

    def __init__(self, path: Path, table: Configurable) -> None:
        self._path = path
        self._table = table
        self._lock = asyncio.Lock()
        self._refused: Sources | None = None
        self._watched = table.config
        """Which keys and certificates are looked at: those of the last table that could be read."""
        self.outcome = Outcome(table.config.version, True, time.time())
        self.used_s = self.outcome.at_s
        self.used_total = 0
        self.refused_total = 0

    async def watch(self) -> None:
        """Look every second until cancelled."""
        last: Sources | None = None
        while True:
            await asyncio.sleep(LOOK_S)
            last = await self.check(last)

    async def check(self, last: Sources | None) -> Sources | None:
        """One look, after `last`; what is new at two looks, and was not refused already, is used."""
        try:
            sources = await asyncio.to_thread(read_sources, self._path, self._watched)
        except OSError as error:
            # A file that is replaced may be away for a moment; one that stays away is told once.
            if last is None and self.outcome.problem != (problem := f"{error.strerror}"):
                self._refused = None
                self._refuse(problem)
            return None
        if sources == last and sources != self._refused and (sources != self._table.sources or not self.outcome.succeeded):
            async with self._lock:
                await self._use(sources, force=False)
        return sources

    async def reload(self, *, force: bool = False) -> Outcome:
        """Wait until the file has settled, and use it, whether or not it seems to have changed."""
        async with self._lock:
            try:
                sources = await asyncio.to_thread(read_sources, self._path, self._watched)
                for _ in range(SETTLES_MAX):
                    await asyncio.sleep(SETTLE_S)
                    again = await asyncio.to_thread(read_sources, self._path, self._watched)
                    if again == sources:
                        return await self._use(sources, force=force)
                    sources = again
            except OSError as error:
                return self._refuse(f"it cannot be read: {error.strerror}")
            return self._refuse(f"it is still being written after {SETTLES_MAX * SETTLE_S:g} s")

    async def _use(self, sources: Sources, *, force: bool) -> Outcome:
        before = self._table.config
        try:
            config = await asyncio.to_thread(read_config, sources.text)
            if not force:
                check_whole(self._table.sources.text, sources.text)
                check_plausible(before, config)
            self._watched = config
            sources = await asyncio.to_thread(sources_of, sources.text, config)
            if not force:
                check_keys(self._table.sources, sources, config)
            self._table.adopt(config, sources)
        except (Unusable, ValueError) as problem:
            self._refused = sources
            return self._refuse(str(problem))
        self._refused = None
        self.used_total += 1
        is_changed = before.version != config.version
        self.outcome = Outcome(config.version, True, time.time(), is_changed=is_changed)
        self.used_s = self.outcome.at_s
        log.info("%s is in force, version %s", self._path, config.version)
        return self.outcome

    def _refuse(self, problem: str) -> Outcome:
        self.refused_total += 1
        self.outcome = Outcome(self._table.config.version, False, time.time(), problem)
        lines = problem.splitlines()
        if len(lines) > LOGGED_LINES_MAX:
            lines[LOGGED_LINES_MAX:] = [f"and {len(lines) - LOGGED_LINES_MAX} lines more: tollway check {self._path}"]
        log.error("%s is not used, the last good one keeps serving: %s", self._path, "\n".join(lines))
        return self.outcome
