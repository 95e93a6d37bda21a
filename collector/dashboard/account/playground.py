"""The playground: a chat from the browser, through the edge like any caller's, with a key that lives for an hour.

Rule: the browser calls the API itself, so what is seen there is what any client sees. Rule: the key is bounded in time and in
money, is made when it is asked for, and is kept in the page's memory only.
"""

import msgspec
from starlette.responses import Response

from collector.accounts.audit_log import record
from collector.accounts.keys import KeyTerms, create_key
from collector.dashboard.page import HEADERS
from collector.dashboard.visit import Visit
from collector.store.contract import Tx

KEY_LIFE_MS = 3_600_000
KEY_LIMIT_NANO = 1_000_000_000


async def show(visit: Visit) -> Response:
    values = {"edge_origin": visit.dashboard.edge_origin, "limit_nano": KEY_LIMIT_NANO}
    return visit.render("account/playground.html", values)


async def give_key(visit: Visit) -> Response:
    """A key for this page, as JSON."""
    account = visit.account
    terms = KeyTerms("playground", limit_nano=KEY_LIMIT_NANO, expires_ms=visit.now_ms + KEY_LIFE_MS)

    def work(tx: Tx, now: int) -> str:
        text, key = create_key(tx, account, terms, now)
        record(tx, visit.actor(), "key.create", key.key_id, {"account": account, "name": terms.name}, now)
        return text

    key = await visit.write(work)
    body = msgspec.json.encode({"key": key, "expires_ms": terms.expires_ms})
    return Response(body, 200, HEADERS, "application/json")
