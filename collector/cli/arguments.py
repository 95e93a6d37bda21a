"""What the arguments of commands may be, and how a command is registered; all times become Unix milliseconds.

Rule: an argument that cannot be meant is refused with what would be right; nothing is guessed from money or from a date.
"""

import argparse
import datetime
import re
import time
from zoneinfo import ZoneInfo

from collector.accounts.window import DAY_MS
from collector.analytics.calendar import zone
from collector.cli.execution import Command, run
from usage.pricing import nano_from_dollars

Subparsers = "argparse._SubParsersAction[argparse.ArgumentParser]"
Wrong = argparse.ArgumentTypeError
_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS}
_SPAN = re.compile(r"([0-9]{1,6})([mhdw])\Z", re.ASCII)


def add(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    command: Command,
    text: str,
    *,
    makes_store: bool = False,
) -> argparse.ArgumentParser:
    """Register a command. `makes_store`: it makes what is new, so it may make the books that it writes into."""
    parser = subparsers.add_parser(name, help=text, description=text)
    parser.set_defaults(run=lambda arguments: run(command, arguments), makes_store=makes_store, command_of=command)
    parser.add_argument("--json", action="store_true", help="machine-readable")
    return parser


def family(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    """A command with actions of its own."""
    return subparsers.add_parser(name, help=text, description=text).add_subparsers(required=True, metavar="ACTION")


def irrevocable(parser: argparse.ArgumentParser) -> None:
    """What it does cannot be undone, so it asks."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def dollars_of(text: str) -> int:
    """Nano-dollars of a decimal number of dollars."""
    try:
        return nano_from_dollars(text)
    except ValueError as error:
        raise Wrong(str(error)) from error


def limit_of(text: str) -> int | None:
    """Nano-dollars, or `none`."""
    return None if text == "none" else dollars_of(text)


def models_of(text: str) -> tuple[str, ...]:
    """Model ids, or prefixes that end in `*`, separated by commas; `all` for no bound."""
    if text == "all":
        return ()
    models = tuple(model.strip() for model in text.split(","))
    if not all(models):
        raise Wrong("each is a model id or a prefix ending in '*', separated by commas; all says that there is no bound")
    if any("*" in model[:-1] or model == "*" or not model.isprintable() or " " in model for model in models):
        raise Wrong("a '*' stands at the end of a prefix such as openai/*; all says that there is no bound")
    return models


def models_or_refusal(text: str) -> tuple[str, ...]:
    """`models_of`; an empty text names no model, and is no way to say all."""
    if not text.strip():
        raise Wrong("it names no model; say all, or leave it out, for a key that may call every model")
    return models_of(text)


def zone_of(text: str) -> ZoneInfo:
    """An IANA time zone."""
    try:
        return zone(text)
    except ValueError as error:
        raise Wrong(f"{text!r} is no time zone such as Europe/Berlin or UTC") from error


def moment_of(text: str, tz: ZoneInfo, name: str) -> int:
    """Unix milliseconds of a day, or a time on it, in a time zone. Wrong."""
    try:
        found = datetime.datetime.fromisoformat(text)
        return round((found if found.tzinfo else found.replace(tzinfo=tz)).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise Wrong(f"{name} is a day such as 2026-01-31, or a time such as 2026-01-31T12:00, not {text!r}") from error


def expiry_of(text: str) -> int | None:
    """Unix milliseconds: so long from now (30d), a day that begins (UTC), a time; None for `never`. It lies ahead."""
    if text == "never":
        return None
    now_ms = time.time_ns() // 1_000_000
    span = _SPAN.match(text)
    found = now_ms + int(span[1]) * _UNITS_MS[span[2]] if span else moment_of(text, ZoneInfo("UTC"), "an expiry")
    if not now_ms < found < 253_402_300_800_000:
        raise Wrong(f"{text!r} has passed; an expiry is ahead: 30d, 12h, a day such as 2027-01-31, or never")
    return found


def span_of(text: str) -> int:
    """Milliseconds of 90m, 24h, 7d, 2w, or 0."""
    span = _SPAN.match(text)
    if span is None and text != "0":
        raise Wrong(f"{text!r} is no span of time such as 90m, 24h, 7d or 2w")
    return int(span[1]) * _UNITS_MS[span[2]] if span else 0


def days_of(text: str) -> int:
    """A number of days."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 36_500:
        raise Wrong(f"{text!r} is no number of days from 1 to 36500")
    return int(text)
