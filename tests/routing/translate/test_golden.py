"""Every recording on every surface that can carry it: what the caller gets, kept as text, so that a change shows as a difference.

`python -m tests.routing.translate.test_golden` writes the files anew.
"""

from pathlib import Path

import pytest

from routing.failures.failure import AttemptFailed
from routing.translate import DOWNSTREAM, UPSTREAM, Format
from tests.routing.translate import streams

GOLDEN = Path(__file__).parent / "golden"
CALLERS: list[Format] = ["chat", *DOWNSTREAM]
PROVIDERS: list[Format] = ["chat", *UPSTREAM]
PAIRS = [(caller, provider) for caller in CALLERS for provider in PROVIDERS if caller != provider]


def told(caller: Format, provider: Format) -> str:
    """What every recording of a provider's format comes to for a caller of another."""
    parts = []
    for name in streams.names("chunks.txt", provider):
        parts.append(f"--- {name}, streamed\n{streams.translated(name, caller, is_short=True).decode()}")
    for name in streams.names("json", provider):
        try:
            parts.append(f"--- {name}, whole\n{streams.whole(name, caller).decode()}\n")
        except AttemptFailed as problem:
            parts.append(f"--- {name}, whole\nno answer: {problem.failure.reason}\n")
    # Google ends its lines with CR LF, which no text file keeps for sure.
    return "".join(parts).replace("\r\n", "\n")


def path_of(caller: Format, provider: Format) -> Path:
    return GOLDEN / f"{caller}_on_{provider}.txt"


@pytest.mark.parametrize(("caller", "provider"), PAIRS)
def test_recordings_translated(caller: Format, provider: Format) -> None:
    """What goes out for each recording is what stands in the file of its pair."""
    assert told(caller, provider) == path_of(caller, provider).read_text()


def test_golden_files_are_those_of_the_pairs() -> None:
    """None is left of a pair that is gone."""
    assert {path.name for path in GOLDEN.glob("*.txt")} == {path_of(*pair).name for pair in PAIRS}


if __name__ == "__main__":
    for pair in PAIRS:
        path_of(*pair).write_text(told(*pair))
