"""The `tollway` command line: serve, check, explain, journal status; and whatever commands the collector adds where it is
installed.

Rule: output is for people, `--json` for programs; an error is one clear sentence on stderr and exit code 2.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from starlette.types import ASGIApp

from edge.commands.parser import CommandError, Parser, ShowVersion, Subparsers
from edge.commands.table_file import add_table_commands, load_table
from edge.data_folder import StartProblem, locked, node_name
from edge.drain import LEFT
from edge.process import Edge
from edge.settings import WORKERS_MAX, SettingError, Settings
from routing.table.config import ConfigError
from usage.flavor import Flavor
from usage.key import without_secrets

Part = Callable[[str], Any]
"""Module → that module of the collector; None where no collector is installed."""


def greet(port: int, key: str, login: str) -> None:
    """What the first start prints: the demo key, a first request that works as pasted, and a link that signs in once."""
    body = '{"model":"echo/echo-1","messages":[{"role":"user","content":"Hello, Tollway"}]}'
    sys.stdout.write(
        "account demo was made with 5.00 dollars of credit; its key is shown only now\n"
        f"key: {key}\n"
        f"curl -sS http://127.0.0.1:{port}{Flavor.OPENROUTER.value}/chat/completions -H 'Authorization: Bearer {key}' "
        f"-H 'Content-Type: application/json' -d '{body}'\n"
        f"dashboard: http://127.0.0.1:{port}/dashboard/login/{login}\n"
    )
    sys.stdout.flush()


def run(
    arguments: Sequence[str],
    app: ASGIApp,
    edge: Edge,
    part: Part,
) -> int:
    """Run one command; the exit code. `serve` serves `app`, which answers from `edge`; account commands are the collector's."""
    parser = Parser(prog="tollway", description="The Tollway proxy: serve it, check it, look into it.")
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="say which release this is")
    parser.add_argument(
        "--collector",
        metavar="URL",
        help="do an account command at the collector there, with an operator's token in TOLLWAY_OPERATOR_TOKEN",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_own(subparsers, app, edge, part)
    own = frozenset(subparsers.choices)
    # Not for `serve`: what the other commands need is a tenth of its start.
    needs_all = not arguments or arguments[0] not in own - {"completion"}
    if needs_all and (accounts := part("cli.commands")) is not None:
        accounts.commands(subparsers)
    try:
        status = _do_elsewhere(arguments, own, has_collector=len(subparsers.choices) > len(own))
        if status is not None:
            return status
        options = parser.parse_args(arguments)
        options.parser, options.part = parser, part
        code = options.run(options)
        sys.stdout.flush()
    except (CommandError, SettingError, StartProblem, ConfigError) as problem:
        sys.stderr.write(f"{without_secrets(str(problem))}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read this has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if os.environ.get("TOLLWAY_TRACEBACK"):
            raise
        what = without_secrets(f"{type(error).__name__}: {error}")
        sys.stderr.write(f"tollway: this should not have happened: {what}; TOLLWAY_TRACEBACK=1 shows where\n")
        return 70
    return int(code or 0)


def _do_elsewhere(arguments: Sequence[str], own: frozenset[str], *, has_collector: bool) -> int | None:
    """The exit status of an account command done at a collector elsewhere: the one that is named, or an edge's own if there is a
    token for it. None: it is for this machine."""
    environ = os.environ
    url = environ.get("TOLLWAY_COLLECTOR_URL", "")
    is_named = any(word == "--collector" or word.startswith("--collector=") for word in arguments)
    if not is_named and not (url and arguments and arguments[0] not in own and not arguments[0].startswith("-")):
        return None
    from edge.commands.remote import parted, send, target_of

    named, words = parted(arguments)
    command = next((word for word in words if not word.startswith("-")), "")
    if named:
        if command in own or not command:
            raise CommandError(
                f"{command or 'a command'} is for this machine; --collector takes account commands, such as keys list"
            )
        return send(target_of(named), words)
    if environ.get("TOLLWAY_OPERATOR_TOKEN") or not has_collector:
        sys.stderr.write(f"at {without_secrets(url)}:\n")
        return send(target_of(url), words)
    return None


def _examine(options: argparse.Namespace) -> int:
    from edge.doctor.doctor import run

    return run(options.role, options.part("doctor"), as_json=options.json)


def _complete(options: argparse.Namespace) -> int:
    from edge.commands.completion import script

    sys.stdout.write(script(options.shell, options.parser))
    return 0


def _add_own(subparsers: Subparsers, app: ASGIApp, edge: Edge, part: Part) -> None:
    serve_parser = subparsers.add_parser("serve", help="run the proxy in the foreground")
    serve_parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes on this machine's cores, on one port, each a node of its own; needs TOLLWAY_COLLECTOR_URL (default: one)",
    )
    serve_parser.set_defaults(run=lambda options: _serve(app, edge, part, options.workers))
    add_table_commands(subparsers)
    _add_commands_of_this_machine(subparsers)


def _add_commands_of_this_machine(subparsers: Subparsers) -> None:
    reload_parser = subparsers.add_parser(
        "reload", help="let the edge of this machine use providers.toml now, and say how it went"
    )
    reload_parser.add_argument("--force", action="store_true", help="although most providers would be gone")
    reload_parser.add_argument("--json", action="store_true", help="machine-readable")
    reload_parser.set_defaults(run=_reload)
    state_parser = subparsers.add_parser("status", help="what the edge of this machine serves, and what rests")
    state_parser.add_argument("--json", action="store_true", help="machine-readable")
    state_parser.set_defaults(run=_status)
    doctor_parser = subparsers.add_parser("doctor", help="look for all that can be wrong with this machine, and say what helps")
    doctor_parser.add_argument("role", nargs="?", choices=("edge", "collector"), default="edge", help="what this machine is")
    doctor_parser.add_argument("--json", action="store_true", help="machine-readable")
    doctor_parser.set_defaults(run=_examine)
    completion_parser = subparsers.add_parser("completion", help="print the completion of a shell, to be sourced")
    completion_parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose")
    completion_parser.set_defaults(run=_complete)
    journal_parser = subparsers.add_parser("journal", help="look into the journal")
    journal_subparsers = journal_parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    status_parser = journal_subparsers.add_parser("status", help="what the journal holds and what is not shipped yet")
    status_parser.add_argument("--json", action="store_true", help="machine-readable")
    status_parser.set_defaults(run=_journal_status)
    ship_parser = journal_subparsers.add_parser("ship", help="ship what a process left in TOLLWAY_DATA, and end")
    ship_parser.set_defaults(run=_journal_ship)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every call to the collector


def _prepare(settings: Settings, part: Part) -> None:
    """StartProblem, SettingError: what would keep this process from serving, said before anything listens."""
    with locked(settings.data):
        node_name(settings)
        if settings.collector_url is not None:
            return
        embedded = part("embedded")
        if embedded is None:
            raise StartProblem("there is no collector in this installation: set TOLLWAY_COLLECTOR_URL to where one runs")
        try:
            embedded.check_books()
        except embedded.CannotEmbed as problem:
            raise StartProblem(str(problem)) from None


def _serve(app: ASGIApp, edge: Edge, part: Part, workers: int | None) -> int:
    from edge.downstream.server import StartFailed
    from edge.serve import PortTaken, serve

    _log_to_stderr()
    settings = Settings.read()
    load_table(settings.providers)
    count = settings.workers if workers is None else workers
    if not 1 <= count <= WORKERS_MAX:
        raise CommandError(f"--workers is a number from 1 to {WORKERS_MAX}, not {count}")
    try:
        if count > 1 and settings.listen_fd is None:
            from edge.workers.supervisor import supervise

            return supervise(settings, count, lambda: _say_listening(settings.port))
        _prepare(settings, part)
        if settings.listen_fd is None:
            _ship_left_behind(settings)
        serve(app, edge, settings, lambda: None if settings.listen_fd is not None else _say_listening(settings.port))
    except (PortTaken, StartFailed) as problem:
        raise CommandError(str(problem)) from None
    return LEFT if edge.node is not None and edge.node.left else 0


def _ship_left_behind(settings: Settings) -> None:
    """Of workers that an earlier start had, and this one has not."""
    if any(settings.data.glob("w[0-9]*")):
        from edge.workers.leftovers import ship_left_behind

        ship_left_behind(settings, node_name(settings))


def _say_listening(port: int) -> None:
    sys.stdout.write(f"tollway listens on http://127.0.0.1:{port}\n")
    sys.stdout.flush()


def _reload(options: argparse.Namespace) -> int:
    from edge.commands.control import reload

    return reload(Settings.read().admin, force=options.force, as_json=options.json)


def _status(options: argparse.Namespace) -> int:
    from edge.commands.control import status

    return status(Settings.read().admin, as_json=options.json)


def _journal_ship(options: argparse.Namespace) -> int:
    from edge.workers.leftovers import ship

    _log_to_stderr()
    return ship(Settings.read())


def _journal_status(options: argparse.Namespace) -> int:
    from edge.commands.journal import show

    return show(Settings.read().data, as_json=options.json)
