"""The commands on accounts and what is theirs: the same on the collector's machine and over HTTP (`collector.api.command`)."""

import argparse

from collector.cli.subcommands import credits, keys, limits, nodes, operators, sinks, store, usage


def account_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register them; each parser's `run` takes the parsed arguments and gives the exit status."""
    for family in (keys, limits, credits, usage, nodes, operators, sinks, store):
        family.register(subparsers)
