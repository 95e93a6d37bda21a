"""Every client that is known, unmodified, against every check: a table. `--count` runs that many of them."""

import tempfile
from pathlib import Path

from tests.clients.environments import Missing, environment
from tests.clients.matrix import CLIENTS, Matrix, Verdict, providers_toml, table
from tests.processes import Edge
from tests.provider import Provider
from tests.soak.report import Report


def soak(report: Report, seed: int, count: int) -> None:
    rows: list[tuple[str, dict[str, Verdict | None]]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Provider() as provider,
        Edge(Path(folder), providers_toml(provider)) as edge,
    ):
        matrix = Matrix(edge, provider)
        for client in CLIENTS[:count]:
            try:
                with environment(client.environment) as where:
                    verdicts = matrix.run(client, where)
            except Missing as missing:
                report.say(client.name, f"not run: {missing}")
                continue
            bad = [name for name, verdict in verdicts.items() if verdict]
            done = sum(verdict == "" for verdict in verdicts.values())
            report.say(client.name, f"{done} checks pass" + (f", {len(bad)} fail: {', '.join(bad)}" if bad else ""))
            rows.append((client.name, verdicts))
    report.say("table", "\n" + table(rows))
    assert not any(verdict for _, verdicts in rows for verdict in verdicts.values()), "see the table"
