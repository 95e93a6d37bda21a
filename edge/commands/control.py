"""`tollway reload` and `tollway status`: asked of the edge that runs on this machine, at its operator's address.

Exit status: 0 done; 1 the table is not used (by every worker, where there are several), the last good one serves on; 2 no edge
answers there.
"""

import sys
import urllib.error
import urllib.request
from typing import Any

from edge.commands.printing import print_json

REFUSED, AWAY = 1, 2
WAIT_S = 30.0


def ask(address: tuple[str, int] | None, method: str, path: str) -> tuple[int, dict[str, Any]]:
    """Status and answer; 0 and why when nobody answers."""
    import orjson

    if address is None:
        return 0, {"error": "TOLLWAY_ADMIN is none, so the edge has no operator's address"}
    host, port = address
    where = f"[{host}]" if ":" in host else host
    request = urllib.request.Request(f"http://{where}:{port}{path}", method=method, headers={"x-tollway-control": "1"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=WAIT_S) as answer:
            return answer.status, orjson.loads(answer.read())
    except urllib.error.HTTPError as error:
        body = error.read()
        return error.code, orjson.loads(body) if body[:1] == b"{" else {}
    except (OSError, ValueError) as error:
        return 0, {"error": f"no edge answers at {host} port {port} ({error}); TOLLWAY_ADMIN names another address"}


def reload(address: tuple[str, int] | None, *, force: bool, as_json: bool) -> int:
    status, answer = ask(address, "POST", "/reload" + ("?force" if force else ""))
    if status not in (200, 409):
        return _away(status, answer)
    if as_json:
        print_json(answer)
        return 0 if status == 200 else REFUSED
    for name, outcome in answer["workers"].items() if "workers" in answer else (("", answer),):
        stream = sys.stdout if outcome.get("succeeded") else sys.stderr
        stream.write(f"{name}: {_told(outcome)}\n" if name else f"{_told(outcome)}\n")
    return 0 if status == 200 else REFUSED


def _told(outcome: dict[str, Any]) -> str:
    """The outcome of one reload in a sentence."""
    if not outcome.get("succeeded"):
        version = f"version {outcome['version']} keeps serving: " if "version" in outcome else ""
        return f"not used, {version}{outcome.get('problem', '')}"
    if outcome.get("is_changed"):
        return f"version {outcome['version']} is in force"
    return f"version {outcome['version']} was in force already, and its secrets and certificates are read again"


def status(address: tuple[str, int] | None, *, as_json: bool) -> int:
    code, answer = ask(address, "GET", "/status")
    if code != 200:
        return _away(code, answer)
    if as_json:
        print_json(answer)
        return 0
    lines: list[str] = []
    for each in answer["workers"].values() if "workers" in answer else (answer,):
        lines += [f"node {each['node']}: {each['error']}"] if "error" in each else _lines(each)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _lines(answer: dict[str, Any]) -> list[str]:
    """How it is with one process."""
    config = answer["config"]
    lines = [f"node {answer['node']}: {'ready' if answer['ready'] else 'not ready'}, {answer['open_requests']} requests open"]
    lines += [f"  problem: {each}" for each in answer["problems"]] + [f"  warning: {each}" for each in answer["warnings"]]
    lines.append(
        f"table {config['version']}: " + ("in force" if config["succeeded"] else f"the file is not used: {config['problem']}")
    )
    for each in answer["resting"]:
        told = f"{each['closed_for_s']:.0f} s more after {each['failures']} failures, the last: {each['cause']}"
        lines.append(f"  rests: {_name(each)}, {told}")
    lines += [f"  comes back: {_name(each)}, is given {each['part']:.0%} of its requests" for each in answer["returning"]]
    return lines + [f"  {name}: first token after {value:g} s" for name, value in answer["first_token_s"].items()]


def _name(row: dict[str, Any]) -> str:
    """What of a provider it is: one of its keys, one model behind that, or all of it."""
    return " ".join(filter(None, (row["provider"], row["key"], row["model"])))


def _away(status: int, answer: dict[str, Any]) -> int:
    hint = "what answers there is no edge of this release" if status == 404 else f"it answered {status}"
    sys.stderr.write(f"{answer.get('error', hint)}\n")
    return AWAY
