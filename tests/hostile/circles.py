"""`python -m tests.hostile.circles FILE`: `tollway serve` without a garbage collector, that looks for garbage when told to.

SIGUSR2: what it finds of ours, one type a line, is written to FILE. Whatever refers to itself in a circle is found there.
"""

import gc
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import proxy

OURS = ("edge.", "routing.", "uvloop.", "_asyncio")


def find() -> Counter[str]:
    """Type → how many of it nothing but each other refers to. They are freed."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = Counter(
        f"{kind.__module__}.{kind.__qualname__}" for kind in map(type, gc.garbage) if (kind.__module__ + ".").startswith(OURS)
    )
    gc.garbage.clear()
    return found


def main(path: Path) -> int:
    def tell(*_: object) -> None:
        part = path.with_suffix(".part")
        part.write_text("".join(f"{name} {count}\n" for name, count in find().most_common()))
        os.replace(part, path)

    gc.disable()
    signal.signal(signal.SIGUSR2, tell)
    sys.argv = ["tollway", "serve"]
    return proxy.main()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
