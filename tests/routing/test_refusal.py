"""Refusals: the error object that the caller reads."""

import json

from routing.refusal import Refusal


def test_refusal_body() -> None:
    """A refusal without a type takes the one of its status; one with a type keeps it."""
    assert json.loads(Refusal(404, "c", "m", param="model").body())["error"]["type"] == "invalid_request_error"
    assert json.loads(Refusal(404, "c", "m", type="own", metadata={"x": 1}).body()) == {
        "error": {"message": "m", "type": "own", "param": None, "code": "c", "metadata": {"x": 1}}
    }
