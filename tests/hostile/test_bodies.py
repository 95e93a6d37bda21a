"""Bodies that are nearly requests: the short form of `scripts/soak bodies`."""

import asyncio
from pathlib import Path
from random import Random

from tests.hostile.bodies import FORMATS, MODEL, RIGHT, case, send_all, table
from tests.processes import Edge, free_port, make_account, run

CASES = 1_000
SEED = 20_261_126


def test_body_that_is_nearly_a_request_is_answered(tmp_path: Path) -> None:
    """On every surface, without a fault of ours or a traceback; some are served, most are refused, and the books are whole."""
    provider_port = free_port()
    with Edge(tmp_path, table(provider_port)) as edge:
        account = make_account(edge, "acct", "1000")
        statuses, faults = asyncio.run(send_all(edge.port, account.key, provider_port, SEED, CASES))
        assert faults == []
        assert sum(statuses.values()) == CASES
        assert statuses[200] > CASES / 10 < statuses[400]
        assert "Traceback" not in edge.log
        run(edge, "verify")


def test_cases_are_of_every_surface() -> None:
    paths = {case(Random(number))[0] for number in range(4_000)}
    assert paths >= {path for path, _ in RIGHT}
    assert paths >= {path.replace(MODEL, f"{name}/m") for path, _ in RIGHT for name in FORMATS}
