"""One invariant of the books as `verify` reports it."""

import msgspec


class Check(msgspec.Struct, frozen=True):
    """One invariant: what it says, the figures it was seen on, and where it does not hold."""

    name: str
    figures: str
    faults: tuple[str, ...] = ()

    @property
    def is_kept(self) -> bool:
        return not self.faults
