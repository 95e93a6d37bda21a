"""The generations whose intent is written and whose settlement is not yet, and their move to a new segment."""

from collections.abc import Mapping, Sequence

import msgspec

from edge.journal.files.log import Log, RelocationJob
from edge.journal.files.segment import Segment


class OpenIntents(msgspec.Struct, eq=False, gc=False):
    """An intent without its settlement, and the lines that say so; `home` is the segment that holds them."""

    home: Segment
    line: bytes
    mark: bytes = b""

    @property
    def lines(self) -> bytes:
        return self.line + self.mark


class Relocation(RelocationJob):
    """Begins a new segment with every running intent and then the settlements that may be lost.

    Intents of settled generations are left out: a crash between such an intent and its settlement would look like an orphan.
    """

    def __init__(self, log: Log, running: Mapping[str, OpenIntents], settlements: Sequence[bytes]) -> None:
        self._moved = dict(running)
        super().__init__(log, [one.lines for one in self._moved.values()] + list(settlements))

    def move(self, running: Mapping[str, OpenIntents], settled_seq: int) -> None:
        """After `finish`: the new segment is home to those that still run, and is needed until all settled so far is acked."""
        home = self.segment
        home.seq_needed = settled_seq
        for gen_id, one in self._moved.items():
            if running.get(gen_id) is one:
                one.home.open_intents -= 1
                one.home = home
                home.open_intents += 1
