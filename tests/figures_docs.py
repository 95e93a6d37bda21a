"""What docs/operations.md says of figures, beside what is scraped: each has a line there, made of its own HELP and TYPE."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "operations.md").read_text()
ROW = re.compile(r"^\| `([a-z_]+)` \| (?:counter|gauge|histogram) \| .* \|$", re.MULTILINE)


def rows_of(exposition: str) -> set[str]:
    """A line of the page for each family of a scrape in Prometheus' format."""
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", exposition, re.MULTILINE))
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", exposition, re.MULTILINE))
    assert helps.keys() == kinds.keys()
    return {f"| `{name}` | {kinds[name]} | {text} |" for name, text in helps.items()}


def lacking(exposition: str) -> list[str]:
    """The lines that the page lacks, to be put into its table."""
    return sorted(rows_of(exposition) - set(PAGE.splitlines()))


def told_by_nobody(exposition: str, prefix: str) -> list[str]:
    """Figures of the page, by the beginning of their names, that are not there."""
    told = {row.split("`")[1] for row in rows_of(exposition)}
    return sorted(name for name in ROW.findall(PAGE) if name.startswith(prefix) and name not in told)
