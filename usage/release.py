"""Which release this is: what `tollway --version` and `/metrics` say. A test holds pyproject.toml to it."""

from typing import Final

VERSION: Final = "0.1.0"
