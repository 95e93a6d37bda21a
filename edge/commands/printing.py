"""What `--json` prints: indented for people, exact for programs.

orjson is imported with the first such command: a start needs none.
"""

import sys
from typing import Any


def print_json(value: Any) -> None:
    """A tree of JSON's own types with text for keys. TypeError: it is none, or has an integer beyond 64 bits."""
    import orjson

    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
