"""What every Python driver shares: the calls that standard input names are made, what their user sees is printed as JSON.

Runs in the client's own virtual environment, so it needs nothing but the standard library. A driver is a module with one
function per call; each takes `Given` and returns what was seen: text, usage as [prompt, completion], tool as [name, arguments],
object. An exception is seen too: its class, its status wherever the client keeps it, its words.
"""

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PROMPT = "Say hello."
IMAGE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["city", "population"],
    "additionalProperties": False,
}


@dataclass
class Given:
    """Where to call, with what."""

    base_url: str
    key: str
    model: str
    deltas: list[str]
    """What a stream brought so far is put here, so that it is seen although an error followed."""


Call = Callable[[Given], dict[str, Any]]


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status, wherever a client keeps it."""
    while error is not None:
        for holder in (error, getattr(error, "response", None), getattr(error, "raw_response", None)):
            for name in ("status_code", "http_status", "status", "code"):
                value = getattr(holder, name, None)
                if isinstance(value, int) and 400 <= value < 600:
                    return value
        error = error.__cause__ or error.__context__
    return None


def run(calls: dict[str, Call]) -> None:
    given = json.load(sys.stdin)
    seen: dict[str, Any] = {}
    for asked in given["calls"]:
        here = Given(asked.get("base_url", given["base_url"]), asked.get("key", given["key"]), asked["model"], [])
        try:
            seen[asked["name"]] = calls[asked["call"]](here) | {"deltas": here.deltas}
        except KeyError as missing:
            if missing.args != (asked["call"],):
                seen[asked["name"]] = failed(missing, here)
            else:
                seen[asked["name"]] = {"skipped": "this client has no such call"}
        except Exception as error:
            seen[asked["name"]] = failed(error, here)
    sys.stdout.write("\n" + json.dumps(seen) + "\n")


def failed(error: Exception, here: Given) -> dict[str, Any]:
    trace = "".join(traceback.format_exception(error)[-3:])[-800:]
    told = {"class": type(error).__name__, "status": status_of(error), "message": str(error)[:2000], "trace": trace}
    return {"error": told, "deltas": here.deltas}
