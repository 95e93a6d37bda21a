"""CloudEvents to an OpenMeter-compatible endpoint: `POST {url}`, a batch at once.

Statuses: 2xx taken; 400, 413 and 422 refused for good; anything else (429, 5xx, also 401 and 404, which an operator mends) waits.
Deduplication is the endpoint's, by `source` and `id`, as OpenMeter has it.
"""

import time
from collections.abc import Sequence

from collector.sinks.contract import SinkEvent, SinkRejected, Unavailable
from collector.sinks.events import BATCH_CONTENT_TYPE
from usage.retry_after import wait_s_of

TIMEOUT_S = 30.0
REFUSED = (400, 413, 422)


class OpenMeterSink:
    """`url` is the whole address, such as https://openmeter.example/api/v1/events; `token` goes as a bearer token."""

    name = "openmeter"

    def __init__(self, url: str, token: str = "") -> None:
        import httpx

        self._url = url
        headers = {"content-type": BATCH_CONTENT_TYPE, "user-agent": "tollway"} | (
            {"authorization": f"Bearer {token}"} if token else {}
        )
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT_S)

    def publish(self, events: Sequence[SinkEvent]) -> None:
        import httpx

        body = b"[" + b",".join(event.body for event in events) + b"]"
        try:
            answer = self._client.post(self._url, content=body)
        except httpx.HTTPError as error:
            raise Unavailable(f"no answer ({type(error).__name__})") from None
        if answer.is_success:
            return
        if answer.status_code in REFUSED:
            raise SinkRejected(f"answered {answer.status_code}: {answer.text[:200]}")
        wait_s = wait_s_of(answer.headers.get("retry-after", ""), time.time())
        raise Unavailable(f"answered {answer.status_code}", wait_s or 0.0)

    def close(self) -> None:
        self._client.close()
