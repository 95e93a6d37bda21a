"""The API's own operations, called by a page with its session as the caller: so both say, check and record the same."""

from decimal import Decimal
from typing import Any

from collector.accounts.roles import Credential
from collector.api.caller import ApiCaller
from collector.api.operation import Call
from collector.dashboard.visit import Visit
from usage.pricing import nano_from_dollars


def amount_of(text: str) -> Decimal:
    """An amount of dollars from a form, as a body of the API has it; ValueError for what is no plain decimal."""
    nano_from_dollars(text)
    return Decimal(text)


def call_of(visit: Visit, now_ms: int, body: Any = None, query: Any = None, **path: str) -> Call:
    """What an operation is given."""
    session = visit.session
    shown = Credential("", session.digest[:8], visit.account, session.role, visit.actor().name)
    caller = ApiCaller(session.role, visit.account, "", session.address, credential=shown)
    return Call(caller, query, body, path, now_ms, visit.dashboard.collector)
