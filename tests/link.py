"""A bad link between an edge and its collector: an HTTP relay that can delay, lose answers, send requests twice, or be cut.

Rule: what is lost or doubled follows from the seed. A lost answer is one whose request the collector did carry out.
Limits: HTTP/1.1 with content-length both ways, which is what the node protocol uses.
"""

import asyncio
import random
import re
import threading
from collections import Counter

from tests.patience import PATIENCE_S

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Link:
    """A relay to 127.0.0.1:`target_port` on a loop of its own in a thread. The settings may change while it runs."""

    def __init__(self, target_port: int, seed: int = 0) -> None:
        self.delay_s = 0.0
        self.lose = 0.0
        self.double = 0.0
        self.is_cut = False
        self.calls: Counter[str] = Counter()
        self.lost = 0
        self.doubled = 0
        self._target_port = target_port
        self._dice = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self.port = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Link":
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**26))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not self.is_cut:
                message = await _read_message(reader)
                if self.is_cut:
                    break
                self.calls[message.split(b" ", 2)[1].decode().partition("?")[0]] += 1
                answer = await self._carry(message)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the streams of Python 3.11 complain of a cancelled handler
        finally:
            writer.transport.abort()

    async def _carry(self, message: bytes) -> bytes | None:
        await asyncio.sleep(self.delay_s / 2)
        answer = await self._exchange(message)
        if self._dice.random() < self.double:
            self.doubled += 1
            answer = await self._exchange(message)
        if self._dice.random() < self.lose:
            self.lost += 1
            return None
        await asyncio.sleep(self.delay_s / 2)
        return answer

    async def _exchange(self, message: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._target_port, limit=2**26)
        try:
            writer.write(message)
            return await _read_message(reader)
        finally:
            writer.transport.abort()


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    """A whole request or response, head and body as they came."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")
