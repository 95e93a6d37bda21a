"""`tollway explain MODEL`: what becomes of a request, by the plan that the request itself would get.

`--as KEY` asks what edges are told of that key: at the books of this machine, or at the collector with an operator's token.
"""

import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edge.auth.authenticator import check
from edge.clock import Clock
from edge.commands.printing import print_json
from edge.settings import SettingError
from routing.plan.plan import Routes
from routing.plan.preferences import Preferences
from routing.plan.refusal import Denied
from routing.request.envelope import Envelope, Invalid, read
from routing.routes.route import Situation
from routing.routes.situation import situation_of
from routing.table.config import Config
from routing.views.caller import ExplainedCaller
from routing.views.decision import decision
from routing.views.explanation import explain
from usage.pricing import nano_from_dollars
from usage.protocol import Policy

PolicyOf = Callable[[str], Mapping[str, Any]]
"""What the books say of a key: as `tollway keys policy --json`."""
_KEY = re.compile(r"sk_live_([0-9a-z]{6})_[0-9a-z]{38}\Z", re.ASCII)


class UnreadableRequest(Exception):
    """The request's body is none; the text says why."""


class _Means(msgspec.Struct, frozen=True):
    spendable: str
    bounded_by: str


def caller_named(named: str, collector_url: str | None, policy_here: Callable[[str], str] | None) -> ExplainedCaller:
    """What edges are told of a key (its id, or all of it, which goes nowhere) or of an account. SettingError."""
    found = _KEY.match(named)
    named = found[1] if found else named
    if collector_url is not None:
        from edge.commands.remote import answer_of, target_of

        text = answer_of(target_of(collector_url), ["keys", "policy", named, "--json"])
    elif policy_here is not None:
        try:
            text = policy_here(named)
        except ValueError as error:
            raise SettingError(str(error)) from None
    else:
        raise SettingError(
            "--as asks the collector: set TOLLWAY_COLLECTOR_URL, and TOLLWAY_OPERATOR_TOKEN for an operator's token"
        )
    try:
        policy, more = msgspec.json.decode(text, type=Policy), msgspec.json.decode(text, type=_Means)
    except msgspec.MsgspecError as error:
        raise SettingError(f"the collector says nothing of {named!r} that this release understands: {error}") from None
    return ExplainedCaller(policy, nano_from_dollars(more.spendable), more.bounded_by)


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
    caller: ExplainedCaller | None = None,
) -> int:
    """Print it; the exit status: 0, and 1 when the request would be refused."""
    hour = int(time.time() // 3_600 % 24) if hour_utc is None else hour_utc
    situation, wishes, envelope = Situation(region=region, hour_utc=hour), None, None
    if body is not None:
        envelope = _envelope(body)
        account = "" if caller is None else caller.policy.account
        situation, wishes = situation_of(envelope, region, hour, account, is_sticky=False), envelope.preferences
    told = _decided(config, offered, model_id, situation, roll, wishes, envelope, caller)
    if as_json:
        print_json(told)
    else:
        is_plain = model_id not in config.routes and body is None and "refused" not in told
        lines = explain(config, offered, model_id) if is_plain else _lines(told)
        lines += [f"  not asked: {each['model']}: {each['why']}" for each in told["not_asked"]]
        lines += [] if caller is None else [f"  {caller.line(config)}"]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 1 if "refused" in told else 0


def _decided(
    config: Config,
    offered: frozenset[str],
    model_id: str,
    situation: Situation,
    roll: float,
    wishes: Preferences | None,
    envelope: Envelope | None,
    caller: ExplainedCaller | None,
) -> dict[str, Any]:
    routes = Routes(config, offered)
    if caller is None:
        return decision(routes, model_id, situation, roll, wishes)
    told = decision(
        routes,
        model_id,
        situation,
        roll,
        wishes,
        caller.policy.models,
        lambda attempts: caller.admitted(config, attempts, envelope),
    )
    try:
        check(caller.policy, Clock())
    except Denied as denied:
        refusal = denied.refusal
        told["refused"] = {"status": refusal.status, "code": refusal.code, "message": refusal.message}
        told.pop("plan", None)
    return {**told, "as": caller.told(config)}


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
