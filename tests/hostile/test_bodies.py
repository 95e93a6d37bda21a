"""Bodies that are nearly requests: the short form of `scripts/soak bodies`."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.hostile.bodies import FORMATS, MODEL, RIGHT, case, send_all, table
from tests.ports import free_port
from tests.processes import Account, Edge, make_account, post, run

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


@pytest.mark.parametrize("value", ["[]", "{}", "[[]]", "1", "null", "true"])
@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/v1/chat/completions", '"messages":[{"role":"user","content":"x"}],"tools":[{"type":%s}]'),
        ("/v1/chat/completions", '"messages":[{"role":"user","content":"x"}],"plugins":[{"id":%s}]'),
        ("/v1/chat/completions", '"messages":[{"role":"user","content":[{"type":"text","text\\u0000":%s}]}]'),
        ("/v1/responses", '"store":false,"input":"x","tools":[{"type":%s}]'),
        ("/v1/rerank", '"query":"x","documents":[%s]'),
    ],
)
def test_member_of_another_form_is_no_fault_of_ours(path: str, form: str, value: str, edge: tuple[Edge, Account]) -> None:
    """Where a name is looked for, there may stand what no set can look for."""
    served, account = edge
    answer = post(served.port, b'{"model":"echo/echo-1",%b}' % (form % value).encode(), account.headers, path)
    assert answer.status in (200, 400)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Edge, Account]]:
    with Edge(tmp_path_factory.mktemp("forms"), "") as served:
        yield served, make_account(served, "acct", "10")
        assert "Traceback" not in served.log
