"""The `tollway` command line: serve, check, explain, journal status; and whatever commands the collector adds where it is
installed.

Rule: output is for people, `--json` for programs; an error is one clear sentence on stderr and exit code 2.
"""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge.data_folder import StartProblem
from edge.drain import LEFT
from edge.providers.table import resolve
from edge.settings import WORKERS_MAX, SettingError, Settings
from routing.table.config import Config, ConfigError, parse

Subparsers = Any
AddCommands = Callable[[Subparsers], None]
Prepare = Callable[[Settings], None]


class Trouble(Exception):
    """A command cannot do what it was asked; the text is what the operator reads."""


def greeting(key: str, login: str, port: int) -> str:
    """What the first start prints: the demo key, a first request that works as pasted, and a link that signs in once."""
    body = '{"model":"echo/echo-1","messages":[{"role":"user","content":"Hello, Tollway"}]}'
    return (
        "account demo was made with 5.00 dollars of credit; its key is shown only now\n"
        f"key: {key}\n"
        f"curl -sS http://127.0.0.1:{port}/api/v1/chat/completions -H 'Authorization: Bearer {key}' "
        f"-H 'Content-Type: application/json' -d '{body}'\n"
        f"dashboard: http://127.0.0.1:{port}/dashboard/login/{login}\n"
    )


def run(arguments: Sequence[str], app: Any, prepare: Prepare, add_commands: AddCommands | None = None) -> int:
    """Run one command; the exit code. `prepare` finds out, before anything listens, what would keep `app` from serving."""
    parser = argparse.ArgumentParser(prog="tollway", description="The Tollway proxy: serve it, check it, look into it.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_own(subparsers, app, prepare)
    if add_commands is not None and (not arguments or arguments[0] not in subparsers.choices):
        # Not for `serve`: what the other commands need is a tenth of its start.
        add_commands(subparsers)
    options = parser.parse_args(arguments)
    try:
        code = options.run(options)
    except (Trouble, SettingError, StartProblem, ConfigError) as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 2
    return int(code or 0)


def _add_own(subparsers: Subparsers, app: Any, prepare: Prepare) -> None:
    serve_parser = subparsers.add_parser("serve", help="run the proxy in the foreground")
    serve_parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes on this machine's cores, on one port, each a node of its own; needs TOLLWAY_COLLECTOR_URL (default: one)",
    )
    serve_parser.set_defaults(run=lambda options: _serve(app, prepare, options.workers))
    check_parser = subparsers.add_parser("check", help="check providers.toml and say what it offers")
    check_parser.add_argument("file", nargs="?", type=Path)
    check_parser.set_defaults(run=_check)
    explain_parser = subparsers.add_parser("explain", help="say where a model id would be sent, and at what price")
    explain_parser.add_argument("model")
    explain_parser.set_defaults(run=_explain)
    journal_parser = subparsers.add_parser("journal", help="look into the journal")
    journal_subparsers = journal_parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    status_parser = journal_subparsers.add_parser("status", help="what the journal holds and what is not shipped yet")
    status_parser.add_argument("--json", action="store_true")
    status_parser.set_defaults(run=_journal_status)
    ship_parser = journal_subparsers.add_parser("ship", help="ship what a process left in TOLLWAY_DATA, and end")
    ship_parser.set_defaults(run=_journal_ship)


def _load(path: Path) -> tuple[Config, frozenset[str]]:
    try:
        config = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Trouble(f"{path} does not exist: copy providers.toml there or set TOLLWAY_PROVIDERS to where it is") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Trouble(f"{path} cannot be read: {error}") from None
    references = frozenset(ref for provider in config.providers.values() for ref in provider.key_refs)
    return config, frozenset(resolve(references))


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every call to the collector


def _serve(app: Any, prepare: Prepare, workers: int | None) -> int:
    from edge.downstream.server import StartFailed
    from edge.serve import PortTaken, serve

    _log_to_stderr()
    settings = Settings.read()
    _load(settings.providers)
    count = settings.workers if workers is None else workers
    if not 1 <= count <= WORKERS_MAX:
        raise Trouble(f"--workers is a number from 1 to {WORKERS_MAX}, not {count}")
    try:
        if count > 1 and settings.listen_fd is None:
            from edge.workers.supervisor import supervise

            return supervise(settings, count, lambda: _say_listening(settings.port))
        prepare(settings)
        serve(app, settings, lambda: None if settings.listen_fd is not None else _say_listening(settings.port))
    except (PortTaken, StartFailed) as problem:
        raise Trouble(str(problem)) from None
    return LEFT if app.node is not None and app.node.left else 0


def _say_listening(port: int) -> None:
    sys.stdout.write(f"tollway listens on http://127.0.0.1:{port}\n")
    sys.stdout.flush()


def _check(options: argparse.Namespace) -> int:
    from routing.views.explanation import describe

    path = options.file or Settings.read().providers
    config, offered = _load(path)
    sys.stdout.write("".join(f"{line}\n" for line in describe(config, offered)))
    return 0


def _explain(options: argparse.Namespace) -> int:
    from routing.views.explanation import explain

    config, offered = _load(Settings.read().providers)
    sys.stdout.write("".join(f"{line}\n" for line in explain(config, offered, options.model)))
    return 0


def _journal_ship(options: argparse.Namespace) -> int:
    from edge.workers.leftovers import ship

    _log_to_stderr()
    return ship(Settings.read())


def _journal_status(options: argparse.Namespace) -> int:
    from edge.journal.status import status

    rows = [msgspec.to_builtins(row) for row in status(str(Settings.read().data / "journal"))]
    if options.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    if not rows:
        sys.stdout.write("the journal is empty\n")
    for row in rows:
        sys.stdout.write("  ".join(f"{name}={value}" for name, value in row.items()) + "\n")
    return 0
