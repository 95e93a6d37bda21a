"""How the account commands print, who runs them, and what they ask before they do what cannot be undone.

Rule: what a command says goes to a `Console`: the terminal's, or that of a command that was sent to the collector over HTTP.
Rule: no text that looks like a key or a token is ever said again, but for the one that a command has just made (`say`).
"""

import getpass
import os
import socket
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from collector.accounts.audit_log import Actor
from usage.key import without_secrets
from usage.pricing import dollars


class Unconfirmed(Exception):
    """What was asked for cannot be undone, and nobody has said yes to it; the text says what it would do."""


class Console:
    """Where a command's words go, whose they are, and whether somebody is there to be asked."""

    def __init__(self, actor: Actor | None = None, public_url: str = "") -> None:
        self.actor = actor
        self.public_url = public_url

    def out(self, text: str) -> None:
        sys.stdout.write(text)

    def err(self, text: str) -> None:
        sys.stderr.write(text)

    def asks(self, question: str) -> bool:
        """Whether a person at the terminal said yes."""
        if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        sys.stderr.write(f"{question} Type yes to go on: ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() == "yes"


console: ContextVar[Console] = ContextVar("console", default=Console())  # noqa: B039


def say(*lines: str) -> None:
    """The answer of a command, line by line, on standard output."""
    console.get().out("".join(f"{line}\n" for line in lines))


def note(text: str) -> None:
    """Beside the answer: what was done, on which books."""
    console.get().err(f"{without_secrets(text)}\n")


def confirm(is_confirmed: bool, consequence: str) -> None:
    """Go on only with --yes, or with a yes from the terminal. Unconfirmed."""
    if not is_confirmed and not console.get().asks(f"{consequence}."):
        raise Unconfirmed(consequence)


def json_text(value: Any) -> str:
    """What `--json` prints of a tree of JSON's own types. TypeError: it is none, or has an integer beyond 64 bits."""
    import orjson

    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def show(rows: list[dict[str, Any]], as_json: bool) -> int:
    """A listing: JSON, or columns as wide as their widest cell."""
    if as_json:
        say(json_text(rows))
        return 0
    if not rows:
        say("none")
        return 0
    table = [list(rows[0]), *(["" if cell is None else str(cell) for cell in row.values()] for row in rows)]
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    say(*("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table))
    return 0


def show_one(figures: Mapping[str, Any], as_json: bool) -> int:
    """One thing: JSON, or a line for each of its figures."""
    if as_json:
        say(json_text(figures))
    else:
        say(*(f"{name}: {'–' if figure is None else figure}" for name, figure in figures.items()))
    return 0


def tell(figures: Mapping[str, Any], as_json: bool, *sentences: str) -> int:
    """What was done: JSON of its figures, or sentences."""
    say(*((json_text(figures),) if as_json else sentences))
    return 0


def operator() -> Actor:
    """Who runs this command, and from where: the address an SSH session came from, else this machine."""
    known = console.get().actor
    if known is not None:
        return known
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in many containers
        name = f"uid {os.getuid()}"
    came_from = os.environ.get("SSH_CONNECTION", "").split()
    return Actor(name, came_from[0] if came_from else socket.gethostname())


def credit_in(amount_nano: int) -> str:
    """An amount for the audit log; empty for none."""
    return dollars(amount_nano) if amount_nano else ""
