"""The commands about a table of providers, running edge or not: `check`, `diff`, `fmt`, `prices update`, `explain`.

Strategy: what a command needs is imported when it is called, because `serve` reads these arguments too and starts with each
process.
"""

import argparse
import sys
from pathlib import Path

from edge.commands.parser import CommandError, Subparsers
from edge.commands.printing import print_json
from edge.providers.secrets import resolve
from edge.settings import Settings
from routing.table.config import Config, parse

TABLE = "default: TOLLWAY_PROVIDERS, else providers.toml"


def add_table_commands(subparsers: Subparsers) -> None:
    """Their arguments; each sets `run`."""
    check_parser = subparsers.add_parser("check", help="check providers.toml and say what it offers")
    check_parser.add_argument("file", nargs="?", type=Path, help=TABLE)
    check_parser.add_argument("--strict", action="store_true", help="an environment variable that is not set counts too")
    check_parser.add_argument("--online", action="store_true", help="ask each provider, with each key, what models it has")
    check_parser.add_argument("--json", action="store_true", help="machine-readable")
    check_parser.set_defaults(run=_check)
    difference_parser = subparsers.add_parser("diff", help="say what the difference between two tables means for callers")
    difference_parser.add_argument("old", type=Path, help="the table as it was")
    difference_parser.add_argument("new", type=Path, help="the table as it is to be")
    difference_parser.add_argument("--json", action="store_true", help="machine-readable")
    difference_parser.set_defaults(run=_diff)
    format_parser = subparsers.add_parser("fmt", help="format providers.toml, comments kept")
    format_parser.add_argument("file", nargs="?", type=Path, help=TABLE)
    format_parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 if something would change")
    format_parser.set_defaults(run=_format)
    prices_parser = subparsers.add_parser("prices", help="prices of the table beside the public list")
    update_parser = prices_parser.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser(
        "update", help="show what differs from genai-prices; --write takes it over"
    )
    update_parser.add_argument("file", nargs="?", type=Path, help=TABLE)
    update_parser.add_argument("--write", action="store_true", help="take the list's prices over")
    update_parser.set_defaults(run=_update_prices)
    _add_explain(subparsers)


def _add_explain(subparsers: Subparsers) -> None:
    explain_parser = subparsers.add_parser("explain", help="say where a model id would be sent, and at what price")
    explain_parser.add_argument("model", help="a model's id, an alias or a route")
    explain_parser.add_argument("--body", type=Path, metavar="FILE", help="a request, for a route's conditions and its wishes")
    explain_parser.add_argument("--at", type=int, choices=range(24), metavar="HOUR", help="at this hour UTC (default: now)")
    explain_parser.add_argument("--roll", type=_roll, default=0.0, metavar="R", help="the dice, from 0 to below 1 (default: 0)")
    explain_parser.add_argument(
        "--as",
        dest="caller",
        metavar="KEY",
        help="as for this key (its id, or all of it) or account: what it may use and pay",
    )
    explain_parser.add_argument("--region", help="as in this region (default: this machine's)")
    explain_parser.add_argument("--json", action="store_true", help="machine-readable")
    explain_parser.set_defaults(run=_explain)


def load_table(path: Path) -> tuple[Config, frozenset[str]]:
    """The table, and the references of the keys that can be read here. CommandError, ConfigError."""
    config = parse(_text_of(path))
    references = frozenset(ref for provider in config.providers.values() for ref in provider.key_refs)
    return config, frozenset(resolve(references))


def compare(old: str, new: str, *, as_json: bool) -> int:
    """What an edit means for callers. The exit status: 0 nothing, 1 something. ConfigError: one of the texts is no table."""
    from routing.views.difference import difference

    lines = difference(parse(old), parse(new))
    if as_json:
        names = {"+": "added", "-": "removed", "~": "changed"}
        print_json([{"kind": names[line[0]], "what": line[2:]} for line in lines])
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines) or "callers notice nothing\n")
    return 1 if lines else 0


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows' editors begin with a byte order mark
    except FileNotFoundError:
        remedy = "copy providers.toml there, name the file, or set TOLLWAY_PROVIDERS to where it is"
        raise CommandError(f"{path} does not exist: {remedy}") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        byte = f"{error.object[error.start]:#04x}"
        raise CommandError(f"{path} is not UTF-8: byte {error.start} is {byte}; save it as UTF-8") from None
    except ValueError as error:
        raise CommandError(f"{str(path)!r} names no file: {error}") from None


def _check(options: argparse.Namespace) -> int:
    from edge.commands.check import check

    path = options.file or Settings.read().providers
    return check(path, _text_of(path), is_strict=options.strict, is_online=options.online, as_json=options.json)


def _diff(options: argparse.Namespace) -> int:
    return compare(_text_of(options.old), _text_of(options.new), as_json=options.json)


def _format(options: argparse.Namespace) -> int:
    from edge.commands.format import format_file

    path = options.file or Settings.read().providers
    parse(_text_of(path))
    return format_file(path, is_check=options.check)


def _update_prices(options: argparse.Namespace) -> int:
    from edge.commands.prices import update

    path = options.file or Settings.read().providers
    text = _text_of(path)
    parse(text)
    return update(path, text, writes=options.write)


def _roll(text: str) -> float:
    if 0 <= float(text) < 1:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text} is not from 0 to below 1")


def _explain(options: argparse.Namespace) -> int:
    from edge.commands.explain import UnreadableRequest, caller_named, run

    settings = Settings.read()
    config, offered = load_table(settings.providers)
    about = {"body": options.body, "hour_utc": options.at, "roll": options.roll, "as_json": options.json}
    if options.caller is not None:
        books = options.part("cli.subcommands.keys")
        about["caller"] = caller_named(options.caller, settings.collector_url, books and books.policy_here)
    try:
        return run(config, offered, options.model, region=options.region or settings.region, **about)
    except UnreadableRequest as problem:
        raise CommandError(str(problem)) from None
