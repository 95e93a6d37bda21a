"""The text that Prometheus scrapes: families of series, in its own format or in OpenMetrics' when that is asked for.

Rule: each family has HELP and TYPE, a counter's series end in `_total`, numbers have all their digits, labels are escaped.
Sources: the Prometheus text exposition format 0.0.4; OpenMetrics 1.0 (a counter's family has no `_total`, exemplars, `# EOF`).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
Kind = Literal["counter", "gauge", "histogram", "summary"]
Labels = Mapping[str, str]


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One series: what stands behind the family's name (`_total`, `_bucket`), its labels ready to be written, its value."""

    suffix: str
    labels: str
    value: float
    exemplar: str = ""


class Family(msgspec.Struct, frozen=True):
    """`name` without `_total`."""

    name: str
    kind: Kind
    help: str
    samples: list[Sample]


def counter(name: str, text: str, counts: Iterable[tuple[Labels, float]]) -> Family:
    return Family(name, "counter", text, [Sample("_total", spelled(labels), value) for labels, value in counts])


def gauge(name: str, text: str, values: Iterable[tuple[Labels, float]]) -> Family:
    return Family(name, "gauge", text, [Sample("", spelled(labels), value) for labels, value in values])


def spelled(labels: Labels) -> str:
    """Labels as they stand between the braces."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())


def escaped(text: str) -> str:
    """A model's name may have what ends a label."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def number(value: float) -> str:
    """All digits; a whole number without a point."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def written(family: Family, *, is_open: bool) -> Iterator[str]:
    """The lines of a family."""
    name = family.name
    typed = name if is_open or family.kind != "counter" else name + "_total"
    yield f"# HELP {typed} {family.help}\n"
    yield f"# TYPE {typed} {family.kind}\n"
    for sample in family.samples:
        labels = f"{{{sample.labels}}}" if sample.labels else ""
        exemplar = f" # {sample.exemplar}" if is_open and sample.exemplar else ""
        yield f"{name}{sample.suffix}{labels} {number(sample.value)}{exemplar}\n"


def is_open_wanted(accept: str) -> bool:
    """Whether a scraper takes OpenMetrics. Prometheus names it before its own format."""
    return "application/openmetrics-text" in accept
