"""How the command line is read: what cannot be meant is answered with what was most likely meant, and no key is repeated."""

import argparse
import sys
from difflib import get_close_matches
from typing import Any, NoReturn

from usage.key import without_secrets
from usage.release import VERSION

Subparsers = Any
"""What `add_subparsers` gives: argparse has no public name for it."""


class CommandError(Exception):
    """A command cannot do what it was asked; the text is what the operator reads."""


class Parser(argparse.ArgumentParser):
    """Repeats no key that was typed in the wrong place, and names what is near a word that is none."""

    def error(self, message: str) -> NoReturn:
        super().error(without_secrets(message))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse, and what was most likely meant."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as wrong:
            meant = get_close_matches(str(value), map(str, action.choices or ()), 1, 0.6)
            if meant:
                raise argparse.ArgumentError(action, f"{value!r} is none; did you mean {meant[0]}?") from None
            raise wrong


class ShowVersion(argparse.Action):
    def __call__(self, *_: object) -> NoReturn:
        sys.stdout.write(f"tollway {VERSION}\n")
        raise SystemExit(0)
