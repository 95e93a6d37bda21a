"""`tollway reload` and `tollway status`: asked of the edge that runs on this machine, at its operator's address.

Exit status: 0 done; 1 the table is not used, the last good one serves on; 2 no edge answers there.
"""

import json
import sys
import urllib.error
import urllib.request
from typing import Any

REFUSED, AWAY = 1, 2
WAIT_S = 30.0


def ask(address: tuple[str, int] | None, method: str, path: str) -> tuple[int, dict[str, Any]]:
    """Status and answer; 0 and why when nobody answers."""
    if address is None:
        return 0, {"error": "TOLLWAY_ADMIN is none, so the edge has no operator's address"}
    host, port = address
    where = f"[{host}]" if ":" in host else host
    request = urllib.request.Request(f"http://{where}:{port}{path}", method=method, headers={"x-tollway-control": "1"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=WAIT_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        body = error.read()
        return error.code, json.loads(body) if body[:1] == b"{" else {}
    except (OSError, ValueError) as error:
        return 0, {"error": f"no edge answers at {host} port {port} ({error}); TOLLWAY_ADMIN names another address"}


def reload(address: tuple[str, int] | None, *, force: bool) -> int:
    status, answer = ask(address, "POST", "/reload" + ("?force" if force else ""))
    if status == 200:
        what = (
            "is in force" if answer.get("is_changed") else "was in force already, and its secrets and certificates are read again"
        )
        sys.stdout.write(f"version {answer['version']} {what}\n")
        return 0
    if status == 409:
        sys.stderr.write(f"not used, version {answer['version']} keeps serving: {answer.get('problem', '')}\n")
        return REFUSED
    return _away(status, answer)


def status(address: tuple[str, int] | None, *, as_json: bool) -> int:
    code, answer = ask(address, "GET", "/status")
    if code != 200:
        return _away(code, answer)
    if as_json:
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        return 0
    config = answer["config"]
    lines = [f"node {answer['node']}: {'ready' if answer['ready'] else 'not ready'}, {answer['open_requests']} requests open"]
    lines += [f"  problem: {each}" for each in answer["problems"]] + [f"  warning: {each}" for each in answer["warnings"]]
    lines.append(
        f"table {config['version']}: " + ("in force" if config["succeeded"] else f"the file is not used: {config['problem']}")
    )
    for each in answer["resting"]:
        name = " ".join(filter(None, (each["provider"], each["key"], each["model"])))
        lines.append(
            f"  rests: {name}, {each['closed_for_s']:.0f} s more after {each['failures']} failures, the last: {each['cause']}"
        )
    lines += [f"  {name}: first token after {value:g} s" for name, value in answer["first_token_s"].items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _away(status: int, answer: dict[str, Any]) -> int:
    hint = "this edge has workers: send its supervisor SIGHUP" if status == 404 else f"it answered {status}"
    sys.stderr.write(f"{answer.get('error', hint)}\n")
    return AWAY
