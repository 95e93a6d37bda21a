"""One mistake in the product."""

from typing import NamedTuple


class Mutation(NamedTuple):
    """In `path`, `right` stands once and becomes `wrong`; `tests` have to notice."""

    path: str
    right: str
    wrong: str
    tests: str
