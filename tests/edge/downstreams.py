"""`python -m tests.edge.downstreams native|granian PORT`: an application that says what it was asked, under either server.

By path: `/echo` answers what it received as JSON; `/stream` chunks, one for each part of the body; `/sized` has a length;
`/status/N` without a body; `/raise` and `/break` fail before and amid their answer; `/flood` sends until nobody takes it;
`/wait` ends when its caller has gone; `/slow` answers once the file `go` is there; `/facts` tells what became of the others.
"""

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from edge.serve import serve
from edge.settings import Settings

FLOOD_BYTES = 65_536
facts: dict[str, Any] = {"asked": 0, "flooded": 0, "left": 0, "after": "", "slow": False}
answered = asyncio.Event()
answered.set()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    facts["asked"] += 1
    name = scope["path"].split("/")[1]
    try:
        await globals().get(f"serve_{name}", serve_echo)(scope, receive, send)
    except Left:
        facts["left"] += 1


async def live(receive: Receive, send: Send) -> None:
    for what in ("startup", "shutdown"):
        await receive()
        await answered.wait()
        await send({"type": f"lifespan.{what}.complete"})


class Left(Exception):
    """The caller has gone before its request was whole: nobody is to be answered."""


async def read(receive: Receive) -> list[bytes]:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Left
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [*headers, (b"x-app", b"yes")]}


def body(data: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def answer(send: Send, value: Any) -> None:
    data = json.dumps(value).encode()
    await send(start(200, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))))
    await send(body(data))


async def serve_echo(scope: Scope, receive: Receive, send: Send) -> None:
    got = b"".join(await read(receive))
    told = {name: scope[name] for name in ("method", "path", "http_version", "scheme")}
    told["query"] = scope["query_string"].decode()
    told["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    await answer(send, told | {"body": got.decode("latin-1")})


async def serve_stream(scope: Scope, receive: Receive, send: Send) -> None:
    parts = (b"".join(await read(receive))).split(b"|")
    await send(start(200, (b"content-type", b"text/plain")))
    for part in parts:
        await send(body(part, more=True))
    await send(body())


async def serve_sized(scope: Scope, receive: Receive, send: Send) -> None:
    got = b"".join(await read(receive))
    await send(start(200, (b"content-length", b"%d" % len(got))))
    for at in range(0, len(got), 100_000):
        await send(body(got[at : at + 100_000], more=True))
    await send(body())


async def serve_status(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start(int(scope["path"].split("/")[2])))
    await send(body())


async def serve_raise(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("meant")


async def serve_break(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(body(b"half", more=True))
    raise RuntimeError("meant")


async def serve_flood(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    for _ in range(2_000):
        await send(body(b"x" * FLOOD_BYTES, more=True))
        facts["flooded"] += FLOOD_BYTES
        await asyncio.sleep(0)
    await send(body())


async def serve_wait(scope: Scope, receive: Receive, send: Send) -> None:
    await read(receive)
    facts["after"] = (await receive())["type"]
    facts["left"] += 1


async def serve_slow(scope: Scope, receive: Receive, send: Send) -> None:
    facts["slow"] = True
    answered.clear()
    while not Path("go").exists():  # noqa: ASYNC110, ASYNC240 - the file is another process's
        await asyncio.sleep(0.01)
    await answer(send, "slow")
    answered.set()


async def serve_early(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers before the body was read, and never reads it."""
    await send(start(413, (b"content-length", b"2")))
    await send(body(b"no"))


async def serve_facts(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, facts)


if __name__ == "__main__":
    server = "granian" if sys.argv[1] == "granian" else "native"
    serve(app, SimpleNamespace(node=None), Settings.read({"HOST": "127.0.0.1", "PORT": sys.argv[2], "TOLLWAY_SERVER": server}))
