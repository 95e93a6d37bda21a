"""The 318 texts of JSONTestSuite, as bodies and inside of one: bad JSON is the caller's mistake, never ours.

Strategy: Python's own json module, made strict (UTF-8 only, no NaN, no byte order mark), says which texts are JSON.
"""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.answers import completion, respond
from tests.processes import Account, Edge, post
from tests.provider import Provider

TEXTS = sorted((Path(__file__).parents[1] / "corpora" / "JSONTestSuite").glob("*.json"))


REPEATED = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
"""JSON, and refused in a message: two readers could take it for two things."""


def is_json(text: bytes) -> bool:
    """Whether a strict parser takes it."""

    def refuse(name: str) -> Any:
        raise ValueError(name)

    try:
        json.loads(text.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True


@pytest.fixture
def send(edge: Edge, account: Account) -> Iterator[Any]:
    """POST raw bytes over one connection that is kept as long as the server keeps it; the status and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=30)

    def post_raw(body: bytes) -> tuple[int, bytes]:
        connection.request("POST", "/api/v1/chat/completions", body, {"content-type": "application/json", **account.headers})
        answer = connection.getresponse()
        return answer.status, answer.read()

    yield post_raw
    connection.close()


def check_error(name: str, status: int, body: bytes) -> None:
    """Every refusal is an error object that an SDK can read."""
    error = json.loads(body)["error"]
    assert isinstance(error["message"], str), name
    assert status == 400, (name, status, body[:300])


def test_corpus_is_whole() -> None:
    """All 318 texts are there, and the strict parser agrees with the suite on what must be taken and refused."""
    assert len(TEXTS) == 318
    for path in TEXTS:
        if path.name[:2] in ("y_", "n_") and path.name != "n_structure_100000_opening_arrays.json":
            assert is_json(path.read_bytes()) == path.name.startswith("y_"), path.name


def test_bodies_of_the_corpus(edge: Edge, account: Account, send: Any) -> None:
    """As a body, each text is a 400: none is a request, none is a 5xx, and the same process answers afterwards."""
    pid = edge.pid
    for path in TEXTS:
        check_error(path.name, *send(path.read_bytes()))
    assert edge.child is not None
    assert (edge.pid, edge.child.poll()) == (pid, None)
    assert post(edge.port, {"model": "nobody/nothing", "messages": [{}]}, account.headers).status == 404


def test_contents_of_the_corpus(edge: Edge, account: Account, provider: Provider, model: str, send: Any) -> None:
    """As the content of a message, what is not JSON is a 400; what is reaches the provider byte for byte, or is a 400."""
    provider.script(model, respond(completion("fine")))
    forwarded = 0
    for path in TEXTS:
        text = path.read_bytes()
        status, body = send(b'{"model":"mock/%s","messages":[{"role":"user","content":%s}]}' % (model.encode(), text))
        if status == 200:
            forwarded += 1
            assert is_json(text) or path.name.startswith("i_"), path.name
            assert b'"content":%s}' % text in provider.requests[model][-1].body, path.name
        else:
            check_error(path.name, status, body)
            assert not path.name.startswith("y_") or path.name in REPEATED, (path.name, body[:300])
    assert len(provider.requests[model]) == forwarded
    assert forwarded >= sum(path.name.startswith("y_") for path in TEXTS) - len(REPEATED)
