"""The commands that `tollway` has where the collector is installed: those on accounts, and `collector`, which runs one."""

import argparse

from collector.cli.account_commands import account_commands


def commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register them; each parser's `run` takes the parsed arguments and gives the exit status."""
    account_commands(subparsers)
    subparsers.add_parser("collector", help="run a collector on its own (PORT, 8100)").set_defaults(run=_collector)


def _collector(arguments: argparse.Namespace) -> int:
    from collector.serve import serve

    return serve()
