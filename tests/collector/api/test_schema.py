"""The description of the API is true: whatever schemathesis makes of it, nothing answers outside of it, and nothing breaks.

Limits: the short form asks each operation a few times, the long one (`-m deep`) 5,000 cases in all.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.processes import Collector, make_account, run, run_json

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
SHORT, LONG = 4, 80


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with (running := Collector(tmp_path_factory.mktemp("collector"))):
        yield running


@pytest.fixture(scope="module")
def keys(collector: Collector) -> list[str]:
    """One of every role."""
    account = make_account(collector, "acme", "100.00")
    made = [run_json(collector, "keys", "create", "--account", "acme", "--role", role)["key"] for role in ("read", "management")]
    token = run(collector, "operators", "create", "me").split("token: ")[1].split()[0]
    return [account.key, *made, token]


def ask(collector: Collector, keys: list[str], cases: int, first: int = 20_261_126) -> int:
    """So many cases of each operation, each with a key of a random role; how many in all."""
    schema = schemathesis.openapi.from_url(f"{collector.origin}/openapi.json")
    dice, asked = random.Random(3), 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @seed(first)
        @settings(
            max_examples=cases, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def once(case: schemathesis.Case[Any]) -> None:
            nonlocal asked
            asked += 1
            key = dice.choice((keys[2], *keys))
            response = case.call(base_url=collector.origin, headers={"authorization": f"Bearer {key}"})
            case.validate_response(response, checks=list(CHECKS))

        once()
    return asked


def test_description_is_true(collector: Collector, keys: list[str]) -> None:
    assert ask(collector, keys, SHORT) > 200
    run(collector, "verify")


@pytest.mark.deep
def test_description_is_true_of_many(collector: Collector, keys: list[str], tmp_path: Path) -> None:
    """5,000 cases."""
    assert ask(collector, keys, LONG) >= 5_000
    run(collector, "verify")
