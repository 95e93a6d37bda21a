"""`tollway --collector URL …`: the account commands of a collector that is elsewhere; nobody needs a shell on its machine.

Rule: the words go to the collector as they are, with an operator's token from the environment or a file, never from the command
line, which every process of a machine can read. Rule: the token goes over TLS, or within the machine or its private network.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from edge.settings import SettingError, secret_of
from usage.key import without_secrets
from usage.protocol.command import COMMAND_PATH, MEDIA_TYPE, Command, CommandOutcome, refusal_of

TIMEOUT_S = 300.0
PRIVATE_ENDS = (".internal", ".local", ".svc", ".cluster.local", ".localhost")


class RemoteCollector(msgspec.Struct, frozen=True):
    """A collector, and who asks."""

    url: str
    token: str


def parted(words: Sequence[str]) -> tuple[str, list[str]]:
    """(the URL of `--collector`, what is left); "" when it is not said. SettingError: it has no URL."""
    rest = list(words)
    for at, word in enumerate(rest):
        if word == "--collector":
            if at + 1 == len(rest):
                raise SettingError("--collector wants the collector's address, such as https://collector.example")
            return rest[at + 1], rest[:at] + rest[at + 2 :]
        if word.startswith("--collector="):
            return word.partition("=")[2], rest[:at] + rest[at + 1 :]
        if not word.startswith("-"):
            break
    return "", rest


def target_of(url: str, environ: Mapping[str, str] = os.environ) -> RemoteCollector:
    """SettingError: there is no token, or it would go in the clear."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError(f"{without_secrets(url)!r} is no address of a collector, such as https://collector.example")
    if parts.scheme == "http" and not _is_near(parts.hostname):
        raise SettingError(f"http:// would carry the operator's token to {parts.hostname} in the clear: use https or a tunnel")
    token = secret_of(environ, "TOLLWAY_OPERATOR_TOKEN") or ""
    if not token.startswith("op_"):
        raise SettingError(
            "commands at a collector need an operator's token in TOLLWAY_OPERATOR_TOKEN, or file:PATH there; `tollway operators"
            " create` at the collector makes one"
        )
    return RemoteCollector(url.rstrip("/"), token)


def _is_near(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(PRIVATE_ENDS)
    return address.is_loopback or address.is_private or address.is_link_local


def send(target: RemoteCollector, words: Sequence[str]) -> int:
    """Do it there; the exit status. What cannot be undone is asked here, if somebody is there to be asked."""
    outcome = _ask(target, words)
    if outcome.question and sys.stdin.isatty() and sys.stderr.isatty():
        sys.stderr.write(f"{outcome.err.rstrip()}\nType yes to go on: ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() != "yes":
            return outcome.status
        outcome = _ask(target, [*words, "--yes"])
    sys.stdout.write(outcome.out)
    sys.stdout.flush()
    sys.stderr.write(outcome.err)
    return outcome.status


def answer_of(target: RemoteCollector, words: Sequence[str]) -> str:
    """What a command prints there. SettingError: it did not do it."""
    outcome = _ask(target, words)
    if outcome.status:
        raise SettingError(outcome.err.strip().removeprefix("tollway: ") or f"{words[0]} ended with {outcome.status}")
    return outcome.out


def _ask(target: RemoteCollector, words: Sequence[str]) -> CommandOutcome:
    import httpx

    try:
        answer = httpx.post(
            target.url + COMMAND_PATH,
            content=msgspec.json.encode(Command(tuple(words), target.url)),
            headers={"authorization": f"Bearer {target.token}", "content-type": MEDIA_TYPE},
            timeout=httpx.Timeout(TIMEOUT_S, connect=10.0),
            follow_redirects=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return _failed(f"{target.url} did not answer ({type(error).__name__}: {error})")
    if answer.status_code == 200:
        try:
            return msgspec.json.decode(answer.content, type=CommandOutcome)
        except msgspec.MsgspecError:
            return _failed(f"{target.url} answered what no collector answers: is that its address?")
    said = refusal_of(answer.content)[:500]
    if answer.status_code == 404 and not said:
        said = "there are no commands at that address: is it the collector's, and of this release?"
    return _failed(f"{target.url} refused ({answer.status_code}): {said or 'without a reason'}")


def _failed(text: str) -> CommandOutcome:
    return CommandOutcome(1, err=f"tollway: {without_secrets(text)}\n")
