"""Which provider serves which surface, and how: the table of docs/surfaces.md, made from providers.toml.

`passes`: the bytes pass. `translated`: one translator on each side of Chat. Empty: not offered.
"""

from routing.surfaces import SURFACES, Entry
from routing.surfaces.adapter import adapter_of
from routing.table.config import Config
from routing.table.provider import Provider

NAMES = {entry.format: entry.format.replace("_", " ") for entry in SURFACES}


def cell(entry: Entry, provider: Provider) -> str:
    """How a provider serves a surface with any of its models."""
    found = [adapter_of(entry, provider, model) for model in provider.models.values()]
    served = [each for each in found if each is not None]
    if not served:
        return "passes" if any(each.format == entry.format for each in provider.endpoints) else ""
    return "translated" if all(each.is_translated for each in served) else "passes"


def matrix(config: Config) -> str:
    """In Markdown: a row for each provider."""
    head = ["provider", *NAMES.values()]
    rows = [[name, *(cell(entry, provider) for entry in SURFACES)] for name, provider in config.providers.items()]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
