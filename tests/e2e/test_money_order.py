"""The first rule of money, on the branch that production takes: no request before its intent, no end of an answer before its
settlement. A whole process, its own server and granian, small and large requests, whole answers and streams.

Strategy: each write and each sync of the journal takes a while (tests/e2e/slow_disk.py). The provider reads the journal on the
disk when a request is there, and the caller when an answer has ended; what was sent too early has no line yet. With durability
"strict" the caller reads only what has been synced. Each mistake is seen to be caught, on a disk that is slower yet: who looks
may be late on a busy machine, and has to come before the line.
"""

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.answers import Answer, completion, respond, spoken, stream
from tests.e2e.conftest import providers_toml
from tests.processes import Edge, ask, make_account
from tests.provider import Provider, Request

SMALL, LARGE = 20, 200_000
SHAPES = list(itertools.product((SMALL, LARGE), (False, True)))
DISK_S, MISTAKEN_DISK_S = "0.15", "0.6"
LOOKS_MAX = 5


def journal(edge: Edge) -> str:
    """All that the kernel has of it."""
    return "".join(
        path.read_text(errors="replace") for path in sorted((edge.folder / "data" / "journal").rglob("*")) if path.is_file()
    )


def on_the_medium(edge: Edge) -> str:
    """All of it that a power cut would leave."""
    noted = edge.folder / "durable"
    sizes = [line.split(" ", 1) for line in noted.read_text().splitlines()] if noted.exists() else []
    durable = {path: int(size) for size, path in sizes if path.endswith(".log")}
    return "".join(Path(path).read_text(errors="replace")[:size] for path, size in durable.items())


@contextmanager
def running(provider: Provider, folder: Path, server: str, mistake: str, durability: str = "group") -> Iterator[Edge]:
    edge = Edge(
        folder,
        providers_toml(provider),
        TOLLWAY_SERVER=server,
        TOLLWAY_DURABILITY=durability,
        TOLLWAY_TEST_DURABLE=str(folder / "durable"),
        TOLLWAY_TEST_DISK_S=DISK_S if mistake == "none" else MISTAKEN_DISK_S,
    )
    edge.command = [sys.executable, "-m", "tests.e2e.slow_disk", mistake, "serve"]
    with edge:
        yield edge


def out_of_order(
    provider: Provider,
    edge: Edge,
    kept: Callable[[Edge], str] = journal,
    shapes: Sequence[tuple[int, bool]] = SHAPES,
    before: int = 0,
) -> list[str]:
    """What came too early, of one request of each shape, on an edge that has had so many `before`. `kept`: what a settlement has
    to be in when its answer ends."""
    account = make_account(edge, "orderly", "50.00")
    found: list[str] = []
    for asked, (size, is_stream) in enumerate(shapes, before + 1):
        name = f"{'stream' if is_stream else 'whole'} of {size} bytes"

        def answer(request: Request, name: str = name, asked: int = asked, is_stream: bool = is_stream) -> Answer:
            if journal(edge).count(' {"i":') < asked:
                found.append(f"request before its intent: {name}")
            return stream(spoken()) if is_stream else respond(completion())

        provider.script_by("order", answer)
        members = {"model": "mock/order", "stream": is_stream, "max_tokens": 9}
        body = json.dumps(members | {"messages": [{"role": "user", "content": "x" * size}]})
        reply = ask(edge.port, "POST", "/v1/chat/completions", headers=account.headers, body=body.encode())
        settled = kept(edge).count(' {"s":')
        assert reply.status == 200, (name, reply.body)
        if settled < asked:
            found.append(f"answer before its settlement: {name}")
    return found


def catches(
    caught: set[str], provider: Provider, edge: Edge, kept: Callable[[Edge], str], shapes: Sequence[tuple[int, bool]]
) -> bool:
    """Whether all of that is found sooner or later: on a machine that stands still for a moment the looks may come too late."""
    found: set[str] = set()
    for number in range(LOOKS_MAX):
        found.update(out_of_order(provider, edge, kept, shapes, number * len(shapes)))
        if caught <= found:
            return True
    return False


def test_nothing_goes_out_before_its_line(provider: Provider, server: str, tmp_path: Path) -> None:
    """Eight orders are looked at under each server."""
    with running(provider, tmp_path, server, "none") as edge:
        assert out_of_order(provider, edge) == []


@pytest.mark.parametrize(
    ("server_kind", "mistake", "shapes", "caught"),
    [
        ("native", "answer_past_the_commit", [(SMALL, False)], "answer before its settlement: whole of 20 bytes"),
        ("native", "request_past_the_commit", SHAPES[:2], "request before its intent: stream of 20 bytes"),
        (
            "native",
            "commit_that_does_nothing_before_a_request",
            [SHAPES[0], SHAPES[-1]],
            "request before its intent: stream of 200000 bytes",
        ),
        ("granian", "commit_with_nobody_behind_it", [(SMALL, False)], "answer before its settlement: whole of 20 bytes"),
        (
            "granian",
            "stream_that_ends_before_its_settlement",
            [(SMALL, True)],
            "answer before its settlement: stream of 20 bytes",
        ),
    ],
)
def test_mistake_in_the_order_is_caught(
    provider: Provider, tmp_path: Path, server_kind: str, mistake: str, shapes: list[tuple[int, bool]], caught: str
) -> None:
    """By the same look at the journal. Not with the first request, whose turn has ended when its connection is there."""
    with running(provider, tmp_path, server_kind, mistake) as edge:
        assert catches({caught}, provider, edge, journal, shapes)


def test_no_answer_ends_before_its_settlement_is_durable(provider: Provider, server: str, tmp_path: Path) -> None:
    """Where the operator asks for that: a power cut at the moment at which a caller has its last byte takes no settlement."""
    with running(provider, tmp_path, server, "none", "strict") as edge:
        assert out_of_order(provider, edge, on_the_medium) == []


@pytest.mark.parametrize("server_kind", ["native", "granian"])
def test_end_that_does_not_wait_for_the_disk_is_caught(provider: Provider, tmp_path: Path, server_kind: str) -> None:
    """By the same look at what is on the medium; the kernel has it all."""
    with running(provider, tmp_path, server_kind, "end_that_does_not_wait_for_the_disk", "strict") as edge:
        early = {f"answer before its settlement: {kind} of 20 bytes" for kind in ("whole", "stream")}
        assert catches(early, provider, edge, on_the_medium, SHAPES[:2])
