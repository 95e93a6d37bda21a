"""The command line over HTTP (`usage.protocol.command`): what `tollway` would do at the collector, for an operator's token.

Rule: the same parser and the same functions as on the machine itself, so nothing can be done here that is not done there; what
writes a file of this machine, or would go on for ever, is refused. Rule: the audit log names the token, and where it came from.
Limits: COMMANDS_MAX at once; an answer has at most OUT_BYTES_MAX.
"""

import argparse
import asyncio
import os
from typing import Any, NoReturn

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from collector.accounts.audit_log import Actor
from collector.api.caller import ApiCaller, credential_of, identify
from collector.api.problem import ApiError
from collector.cli.account_commands import account_commands
from collector.cli.execution import UNCONFIRMED, apply
from collector.cli.printing import Console, console
from collector.http.body import read_body
from collector.http.refusal_log import log_refusal
from collector.service import Collector
from collector.store.opening import name_of_store
from usage.decoding import UNREADABLE
from usage.flavor import Flavor, error_body
from usage.key import without_secrets
from usage.protocol import Unreachable
from usage.protocol.command import COMMAND_PATH, MEDIA_TYPE, Command, CommandOutcome

COMMANDS_MAX = 4
BODY_BYTES_MAX = 64 * 1024
OUT_BYTES_MAX = 32 << 20
ON_THE_MACHINE = {
    "backup": "a backup is a file on the collector's machine: make it there",
    "collector": "a collector is started on its own machine",
    "init": "this collector's books are there",
}


class _RemoteConsole(Console):
    """Keeps what is said for the answer; it has no terminal to ask at."""

    def __init__(self, actor: Actor, public_url: str) -> None:
        super().__init__(actor, public_url)
        self.said: list[str] = []
        self.noted: list[str] = []
        self._bytes = 0

    def out(self, text: str) -> None:
        self._bytes += len(text)
        if self._bytes > OUT_BYTES_MAX:
            raise ValueError("the answer is too long; ask for less, such as a shorter time or --csv of the API's exports")
        self.said.append(text)

    def err(self, text: str) -> None:
        self.noted.append(text)

    def asks(self, question: str) -> bool:
        return False


class _Parser(argparse.ArgumentParser):
    """Says on the console what is wrong, and ends no process."""

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            console.get().err(without_secrets(message))
        raise SystemExit(status)

    def _print_message(self, message: str, file: Any = None) -> None:
        console.get().err(without_secrets(message))


def routes(collector: Collector) -> list[BaseRoute]:
    gate = asyncio.Semaphore(COMMANDS_MAX)

    async def answer(request: Request) -> Response:
        try:
            caller = await _operator(collector, request)
            command = await _read(request)
            actor = Actor(caller.actor.name, request.client.host if request.client else "")
            remote = _RemoteConsole(actor, command.url or str(request.base_url).rstrip("/"))
            async with gate:
                outcome = await asyncio.to_thread(_execute, collector, command.arguments, remote)
        except ApiError as problem:
            return _error(problem.status, problem.message, problem.code)
        except Unreachable as error:
            return _error(503, str(error), "unavailable")
        return _json(msgspec.json.encode(outcome), 200)

    return [Route(COMMAND_PATH, answer, methods=["POST"])]


def _json(body: bytes, status: int) -> Response:
    return Response(body, status, media_type=MEDIA_TYPE, headers={"cache-control": "no-store"})


def _error(status: int, message: str, code: str) -> Response:
    return _json(error_body(Flavor.OPENAI, status, message, code), status)


async def _operator(collector: Collector, request: Request) -> ApiCaller:
    try:
        secret = await credential_of(request, collector.marks)
        caller = await collector.read(lambda tx, now: identify(tx, secret, "", "", now))
    except ApiError as problem:
        log_refusal(collector.refusals, request, problem.message)
        raise
    if caller.role != "operator":
        raise ApiError(403, f"commands are for an operator's token (op_…), not for a key with role {caller.role}", "forbidden")
    return caller


async def _read(request: Request) -> Command:
    body = await read_body(request, BODY_BYTES_MAX)
    if body is None:
        raise ApiError(413, f"a command has at most {BODY_BYTES_MAX} bytes", "request_too_large")
    try:
        command = msgspec.json.decode(body, type=Command)
        if not any("\0" in word for word in command.arguments):
            return command
        raise ValueError("a NUL is in no argument")
    except (*UNREADABLE, ValueError):
        raise ApiError(400, 'send {"arguments": ["keys", "list"]}', "invalid_request") from None


def _execute(collector: Collector, words: tuple[str, ...], remote: _RemoteConsole) -> CommandOutcome:
    token = console.set(remote)
    try:
        status = _run(collector, words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 2
    finally:
        console.reset(token)
    return CommandOutcome(status, "".join(remote.said), "".join(remote.noted), status == UNCONFIRMED)


def _run(collector: Collector, words: tuple[str, ...]) -> int:
    named = next((word for word in words if not word.startswith("-")), "")  # `--` may stand before it
    if named in ON_THE_MACHINE:
        return _refused(ON_THE_MACHINE[named])
    parser: argparse.ArgumentParser = _Parser(prog="tollway", description="The account commands, at this collector.")
    account_commands(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    arguments = parser.parse_args(words)
    if getattr(arguments, "textfile", None) is not None:
        return _refused("--textfile is a file on the collector's machine: let a timer there write it")
    return apply(arguments.command_of, arguments, collector.store, name_of_store(os.environ))


def _refused(reason: str) -> int:
    console.get().err(f"tollway: {reason}\n")
    return 1
