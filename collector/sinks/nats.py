"""CloudEvents to NATS JetStream: each event a message with `Nats-Msg-Id`, acknowledged by the stream before it counts as taken.

Rule: the stream is the operator's (`nats stream add`); its duplicate window should be longer than an outage, because
by it a message that is sent again counts once. Without a stream on the subject everything waits, and the log says what is
missing.
Strategy: nats-py, on an event loop in this sink's thread; a connection that failed is made anew for the next batch.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from collector.sinks.contract import SinkEvent, SinkRejected, Unavailable
from collector.sinks.events import CONTENT_TYPE

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

SUBJECT = "tollway.usage"
ACK_S_MAX = 5.0
IN_FLIGHT = 200
"""Messages of which the stream's word is awaited at once."""


class NatsSink:
    """`url`: nats://user:password@host:4222; `subject`: what the stream listens to."""

    name = "nats"

    def __init__(self, url: str, subject: str = SUBJECT) -> None:
        self._url = url
        self._subject = subject
        self._loop = asyncio.new_event_loop()
        self._client: Client | None = None

    def publish(self, events: Sequence[SinkEvent]) -> None:
        self._loop.run_until_complete(self._publish(events))

    async def _publish(self, events: Sequence[SinkEvent]) -> None:
        from nats import errors
        from nats.js.errors import NoStreamResponseError

        try:
            stream = await self._connect()
            for at in range(0, len(events), IN_FLIGHT):
                sent = (self._send(stream, event) for event in events[at : at + IN_FLIGHT])
                for problem in await asyncio.gather(*sent, return_exceptions=True):
                    if isinstance(problem, BaseException):
                        raise problem
        except errors.MaxPayloadError as error:
            raise SinkRejected(str(error)) from None
        except NoStreamResponseError:
            raise Unavailable(f"no JetStream stream listens to {self._subject}: `nats stream add` makes one") from None
        except (errors.Error, OSError, TimeoutError) as error:
            await self._disconnect()
            raise Unavailable(f"{type(error).__name__}: {error}") from None

    async def _connect(self) -> "JetStreamContext":
        import nats

        if self._client is None or not self._client.is_connected:
            await self._disconnect()
            self._client = await nats.connect(self._url, allow_reconnect=False, connect_timeout=ACK_S_MAX, error_cb=_ignore)
        return self._client.jetstream(timeout=ACK_S_MAX)

    async def _send(self, stream: "JetStreamContext", event: SinkEvent) -> None:
        await stream.publish(self._subject, event.body, headers={"Nats-Msg-Id": event.event_id, "Content-Type": CONTENT_TYPE})

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None and not client.is_closed:
            try:
                await client.close()
            except Exception:  # whatever is wrong with a connection that is given up
                pass

    def close(self) -> None:
        self._loop.run_until_complete(self._disconnect())
        self._loop.close()


async def _ignore(error: Exception) -> None:
    """What is wrong with a connection is seen where it is used."""
