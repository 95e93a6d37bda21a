"""`python -m collector`, in its image `tollway`: a collector on its own, on PORT (8100), and the account commands."""

import argparse
import os
import sys
from collections.abc import Sequence

from collector.cli.commands import commands
from collector.cli.printing import json_text, say
from collector.serve import serve
from usage.key import without_secrets
from usage.release import VERSION


def main(words: Sequence[str] | None = None) -> int:
    """Without words: serve. The exit status, as docs/operations.md has them."""
    name = "tollway" if os.environ.get("TOLLWAY_MODULE") == "collector" else "python -m collector"
    parser = argparse.ArgumentParser(name, description=__doc__)
    parser.add_argument("--version", action="version", version=f"tollway {VERSION}", help="say which release this is")
    parser.set_defaults(run=lambda arguments: serve())
    subparsers = parser.add_subparsers(metavar="COMMAND")
    commands(subparsers)
    examine = subparsers.add_parser("doctor", help="look for all that can be wrong with this machine, and say what helps")
    examine.add_argument("role", nargs="?", choices=("collector",), help="what this machine is")
    examine.add_argument("--json", action="store_true", help="machine-readable")
    examine.set_defaults(run=_examine)
    arguments = parser.parse_args(words)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
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
    return status


def _examine(arguments: argparse.Namespace) -> int:
    """As `tollway doctor collector` where the edge is installed too."""
    from collector.doctor import look_at_collector

    findings = list(look_at_collector(os.environ))
    if arguments.json:
        names = ("level", "subject", "said", "remedy")
        say(json_text([dict(zip(names, finding, strict=True)) for finding in findings]))
    else:
        for level, subject, told, remedy in findings:
            say(f"{'FAIL' if level == 'fail' else level:4}  {subject}: {told}", *([f"      remedy: {remedy}"] if remedy else []))
    return 1 if any(finding[0] == "fail" for finding in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
