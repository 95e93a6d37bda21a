"""How long answers usually are: the completion tokens that nine of ten answers stay within, of one key or account.

Strategy: a running quantile in one number (frugal streaming, Ma and others 2013): each longer answer raises it nine times as far
as each shorter one lowers it. Limits: an estimate; what a debit by it lacks is corrected at settlement.
"""

from typing import Final

USUAL: Final = 512
STEP_SHARE: Final = 64


class Completions:
    """`usual` is the estimate, in tokens."""

    __slots__ = ("usual",)

    def __init__(self) -> None:
        self.usual = USUAL

    def observe(self, completion: int) -> None:
        """An answer had so many completion tokens."""
        step = self.usual // STEP_SHARE + 1
        self.usual = self.usual + 9 * step if completion > self.usual else max(self.usual - step, 1)
