"""PostgreSQL where a machine can reach it: its socket is mounted into the machine."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.collector.conftest import postgres_server, postgres_url
from tests.deploy.machine import Machine

__all__ = ["postgres_server", "postgres_url"]
INSIDE = "/run/postgresql"


@pytest.fixture
def reachable_postgres(postgres_url: str) -> Callable[[Machine], str]:
    """Mounts the server's socket; TOLLWAY_DATABASE for that machine."""

    def mount(machine: Machine) -> str:
        found = re.search(r"host=([^&]+)", postgres_url)
        assert found is not None
        name = ".s.PGSQL.5432"
        machine.mount(Path(found[1]) / name, f"{INSIDE}/{name}", is_writable=True)
        return postgres_url.replace(found[0], f"host={INSIDE}")

    return mount
