"""The ledger of parameters of a pair: what becomes of each top-level member of a request in the other format.

Rule: a name without a rule is refused. What one format calls a demand must be met; an offer is declined and reported.
Source of the rules: each pair's own `parameters` file; of what says the same as nothing: `routing.request.parameters.NEUTRAL`.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from routing.request.parameters import is_neutral


class Rule(NamedTuple):
    """`name`: what it is called there. `hint`: what the caller can do instead of a demand. `neutral`: further JSON texts that
    say the same as nothing."""

    kind: Literal["read", "renamed", "offer", "demand", "meaningless"]
    name: str = ""
    hint: str = ""
    neutral: tuple[bytes, ...] = ()

    def says_nothing(self, name: str, value: bytes) -> bool:
        return is_neutral(name, value) or value in self.neutral


Ledger = Mapping[str, Rule]

READ: Final = Rule("read")
"""The pair's code sees to it."""
OFFER: Final = Rule("offer")
MEANINGLESS: Final = Rule("meaningless")
"""It says something to a router, or about a transport that is not used: nothing is lost without it."""


def renamed(name: str) -> Rule:
    """The value as it came, under that name."""
    return Rule("renamed", name)


def same(names: str) -> dict[str, Rule]:
    """The values as they came, under the same names."""
    return {name: renamed(name) for name in names.split()}


def demand(hint: str = "", *neutral: bytes) -> Rule:
    """Refused, unless its value is `neutral`."""
    return Rule("demand", "", hint, neutral)


def offers(names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), OFFER)


def demands(names: str, hint: str = "") -> dict[str, Rule]:
    return dict.fromkeys(names.split(), demand(hint))


def reads(names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), READ)


def meaningless(names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), MEANINGLESS)
