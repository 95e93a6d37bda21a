"""`python -m collector`: a collector on its own, on PORT (8100); `python -m collector keys …` and so on: the account commands."""

import argparse
import sys

from collector.cli.commands import commands
from collector.serve import serve


def main() -> int:
    """Without words: serve."""
    parser = argparse.ArgumentParser("python -m collector", description=__doc__)
    parser.set_defaults(run=lambda arguments: serve())
    commands(parser.add_subparsers(metavar="COMMAND"))
    arguments = parser.parse_args()
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
