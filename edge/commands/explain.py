"""`tollway explain MODEL`: what becomes of a request, by the plan that the request itself would get."""

import json
import sys
import time
from pathlib import Path

from routing.plan.plan import Routes
from routing.request.envelope import Envelope, Invalid, read
from routing.routes.route import Situation
from routing.routes.situation import situation_of
from routing.table.config import Config
from routing.views.decision import decision
from routing.views.explanation import explain


class UnreadableRequest(Exception):
    """The request's body is none; the text says why."""


def run(
    config: Config,
    offered: frozenset[str],
    model_id: str,
    *,
    body: Path | None,
    hour_utc: int | None,
    roll: float,
    region: str,
    as_json: bool,
) -> int:
    """Print it; the exit status: 0, and 1 when the request would be refused."""
    hour = int(time.time() // 3_600 % 24) if hour_utc is None else hour_utc
    situation, wishes = Situation(region=region, hour_utc=hour), None
    if body is not None:
        envelope = _envelope(body)
        situation, wishes = situation_of(envelope, region, hour, "", is_sticky=False), envelope.preferences
    told = decision(Routes(config, offered), model_id, situation, roll, wishes)
    if as_json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        is_plain = model_id not in config.routes and body is None
        lines = explain(config, offered, model_id) if is_plain else _lines(told)
        lines += [f"  not asked: {each['model']}: {each['why']}" for each in told["not_asked"]]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 1 if "refused" in told else 0


def _envelope(body: Path) -> Envelope:
    try:
        return read(body.read_bytes())
    except OSError as error:
        raise UnreadableRequest(f"{body} cannot be read: {error.strerror}") from None
    except Invalid as invalid:
        raise UnreadableRequest(f"{body} is no request: {invalid.message}") from None


def _lines(told: dict[str, object]) -> list[str]:
    refused = told.get("refused")
    if isinstance(refused, dict):
        return [f"{told['requested']}: refused with {refused['status']} {refused['code']}", f"  {refused['message']}"]
    lines = [f"{told['requested']}: {told['strategy']}, here {told['region'] or 'no region'}"]
    attempts = told["plan"]
    assert isinstance(attempts, list)
    for number, each in enumerate(attempts, 1):
        key = f"with the key {each['key']}" if each["key"] else "without a key"
        lines.append(f"  {number}. {each['model']} at {each['provider']}, {key}: {each['why']}")
    return lines
