"""`tollway check`: is the table right, is it wise, and, with --online, do the providers answer.

Exit status: 0 all is well; 1 there is advice (`routing.views.advice`), a key file that cannot be read, or a provider that does
not answer; 2 the table cannot be used. `--strict` counts a missing environment variable too: a laptop seldom has all keys.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edge.commands.printing import print_json
from edge.providers.secrets import resolve
from routing.table.config import Config, ConfigError, parse
from routing.views.advice import Advice, advise
from routing.views.explanation import describe

ADVISED, WRONG = 1, 2


def check(path: Path, text: str, *, is_strict: bool, is_online: bool, as_json: bool) -> int:
    """Check the text of `path`; what is found goes to stdout. The exit status."""
    try:
        config = parse(text)
    except ConfigError as error:
        if as_json:
            problems = [msgspec.to_builtins(problem) | {"level": "error"} for problem in error.problems]
            print_json({"file": _shown(path), "findings": problems})
            return WRONG
        raise
    references = frozenset(ref for provider in config.providers.values() for ref in provider.key_refs)
    secrets = resolve(references)
    missing = sorted(references - set(secrets))
    advice = advise(config, text)
    counted = {ref: _missing(ref) for ref in missing if is_strict or ref.startswith("file:")}
    counted |= dict.fromkeys(
        _broken(config, secrets), "has a line break or a space within: no key has, so look at what was pasted"
    )
    answers = _online(path, as_json) if is_online else []
    is_well = not advice and not counted and all(answer["problem"] == "" for answer in answers)
    if as_json:
        findings: list[dict[str, Any]] = [msgspec.to_builtins(one) for one in advice]
        told = {ref: _missing(ref) for ref in missing} | counted
        findings += [{"level": "missing", "path": ref, "message": message} for ref, message in told.items()]
        print_json({"file": _shown(path), "version": config.version, "findings": findings, "online": answers})
    else:
        _tell(config, frozenset(secrets), advice, counted)
    return 0 if is_well else ADVISED


def _broken(config: Config, secrets: Mapping[str, str]) -> list[str]:
    """Keys that could be in no header."""
    plain = {ref for provider in config.providers.values() if provider.auth == "key" for ref in provider.key_refs}
    return sorted(ref for ref in plain & secrets.keys() if any(char <= " " or char == "\x7f" for char in secrets[ref]))


def _tell(config: Config, offered: frozenset[str], advice: list[Advice], counted: Mapping[str, str]) -> None:
    _write("\n".join(describe(config, offered)))
    for one in advice:
        _write(str(one))
    for reference, message in counted.items():
        _write(f"missing: {reference}: {message}")
    dangers = sum(one.level == "danger" for one in advice)
    if advice or counted:
        _write(f"{len(advice)} findings, {dangers} of them dangerous; {len(counted)} secrets are missing")


def _missing(reference: str) -> str:
    kind, _, place = reference.partition(":")
    if kind == "env":
        return f"set {place} in the environment of the process that serves"
    return f"{place} is not there, is empty, or cannot be read by this user"


def _online(path: Path, as_json: bool) -> list[dict[str, Any]]:
    from edge.commands.online import ask_all

    tell: Callable[[str], None] = (lambda line: None) if as_json else _write
    return ask_all(path, tell)


def _shown(path: Path) -> str:
    """Its name; bytes of it that are no text, replaced."""
    return os.fsencode(path).decode("utf-8", "replace")


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
