"""The command line over HTTP: what `tollway --collector URL …` sends to a collector, and what it is told.

It goes as `POST /operator/v1/command` with an operator's token as a bearer token; 200 brings the outcome, any other status an
error in OpenAI's words (`usage.flavor`).
"""

from typing import Final

import msgspec

COMMAND_PATH: Final = "/operator/v1/command"
MEDIA_TYPE: Final = "application/json"


class Command(msgspec.Struct, frozen=True):
    """What stands behind `tollway` on the command line; `url` is where the operator reaches this collector, for links."""

    arguments: tuple[str, ...]
    url: str = ""


class CommandOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """The exit status, and what was printed on standard output and standard error; `question` when it wants a yes."""

    status: int
    out: str = ""
    err: str = ""
    question: bool = False


class _Error(msgspec.Struct, frozen=True):
    message: str = ""


class _ErrorAnswer(msgspec.Struct, frozen=True):
    error: _Error = _Error()


def refusal_of(body: bytes) -> str:
    """The message of an answer that is none; empty when it has none."""
    try:
        return msgspec.json.decode(body, type=_ErrorAnswer).error.message
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
