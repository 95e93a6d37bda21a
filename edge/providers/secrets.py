"""The secrets that the table refers to: in the environment, or in files that may change while we run.

Rule: a secret is read here and nowhere else, and never told; its place may be, to the operator.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger("tollway.table")


def resolve(references: frozenset[str], environ: Mapping[str, str] = os.environ, *, is_quiet: bool = False) -> dict[str, str]:
    """The secrets that `env:NAME` and `file:PATH` stand for; those that lead nowhere are left out."""
    secrets = {}
    for reference in references:
        kind, _, place = reference.partition(":")
        secret = environ.get(place, "") if kind == "env" else _read_secret(place, is_quiet=is_quiet)
        if secret.strip():
            secrets[reference] = secret.strip()
    return secrets


def _read_secret(place: str, *, is_quiet: bool) -> str:
    """The file's content. A provider whose key file is empty or cannot be read drops out, so that is said."""
    try:
        secret = Path(place).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        if not is_quiet:
            why = getattr(error, "strerror", "") or "it is not ASCII text"
            log.warning("the key file %s cannot be read, so what needs it is not offered: %s", place, why)
        return ""
    if not secret.strip() and not is_quiet:
        log.warning("the key file %s is empty, so what needs it is not offered", place)
    return secret
