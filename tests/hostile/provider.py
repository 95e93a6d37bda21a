"""`python -m tests.hostile.provider PORT`: a provider that does to each model id what a broken or hostile one may do.

The last part of the model's name says what (`BEHAVIOURS`); each goes on until its connection is closed.
"""

import asyncio
import gzip
import json
import sys
from collections.abc import Awaitable, Callable

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM, JSON = HEAD % b"text/event-stream", HEAD % b"application/json"
TEXT = b'data: {"id":"u","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
EMPTY = b'data: {"id":"u","choices":[{"index":0,"delta":{},"finish_reason":null}]}\n\n'
Write = Callable[[bytes], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def silent(write: Write) -> None:
    await asyncio.Event().wait()


async def endless_head(write: Write) -> None:
    await write(b"HTTP/1.1 200 OK\r\n")
    while True:
        await write(b"x-a: b\r\n" * 1_000)


async def interim_answers(write: Write) -> None:
    for _ in range(1_000):
        await write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


async def tiny_chunks(write: Write) -> None:
    await write(STREAM)
    for _ in range(1_000):
        await write(chunk(b":") * 1_000)


async def endless_line(write: Write) -> None:
    await write(STREAM + chunk(b"data: "))
    while True:
        await write(chunk(b"x" * 65_536))


async def endless_answer(write: Write) -> None:
    await write(JSON + chunk(b'{"a":"'))
    while True:
        await write(chunk(b"x" * 65_536))


async def many_members(write: Write) -> None:
    await write(JSON + chunk(b"{" + b",".join(b'"%x":0' % number for number in range(1_000_000)) + b"}") + b"0\r\n\r\n")


async def garbage(write: Write) -> None:
    await write(bytes(range(256)) * 100)


async def short_answer(write: Write) -> None:
    await write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{}")
    await asyncio.Event().wait()


async def long_answer(write: Write) -> None:
    await write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n" * 50)


async def two_lengths(write: Write) -> None:
    await write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} ")


async def gzip_bomb(write: Write) -> None:
    await write(packed(bytes(100_000_000)))


def packed(data: bytes) -> bytes:
    """A whole answer, in gzip."""
    coded = gzip.compress(data)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
    return head % len(coded) + coded


async def bomb_of_comments(write: Write) -> None:
    await write(packed(b":\n" * 50_000_000))


async def bomb_of_comments_in_an_answer(write: Write) -> None:
    await write(packed(TEXT + b": keep-alive\n\n" * 6_000_000))


async def bomb_of_spaces(write: Write) -> None:
    await write(packed(b'{"id":' + b" " * 60_000_000 + b"1}"))


async def gzip_of_nothing(write: Write) -> None:
    """Members of gzip with nothing in them, without end."""
    await write(JSON.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"))
    nothing = gzip.compress(b"") * 3_000
    while True:
        await write(chunk(nothing))


async def gzip_of_crumbs(write: Write) -> None:
    """Members of gzip with one byte in each."""
    await write(STREAM.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"))
    crumbs = gzip.compress(b":") * 3_000
    while True:
        await write(chunk(crumbs))


async def comments(write: Write) -> None:
    await write(STREAM)
    while True:
        await write(chunk(b":\n" * 30_000))


async def comments_in_an_answer(write: Write) -> None:
    await write(STREAM + chunk(TEXT))
    while True:
        await write(chunk(b": keep-alive\n\n" * 5_000))


async def blank_lines(write: Write) -> None:
    await write(STREAM + chunk(TEXT))
    while True:
        await write(chunk(b"\n" * 60_000))


async def empty_data(write: Write) -> None:
    await write(STREAM + chunk(TEXT))
    while True:
        await write(chunk(b"data:\n\n" * 10_000))


async def events_without_text(write: Write) -> None:
    """More of the answer to look at, and nothing in it."""
    await write(STREAM + chunk(TEXT))
    while True:
        await write(chunk(EMPTY * 1_000))


async def spaces(write: Write) -> None:
    await write(JSON)
    while True:
        await write(chunk(b" " * 65_536))


async def spaces_in_an_answer(write: Write) -> None:
    await write(JSON + chunk(b'{"id":"x",'))
    while True:
        await write(chunk(b"\n" * 65_536))


async def crumbs_of_an_answer(write: Write) -> None:
    """A whole answer, a byte in each chunk."""
    await write(JSON + chunk(b'{"id":"'))
    while True:
        await write(chunk(b"x") * 10_000)


async def crumbs_of_a_stream(write: Write) -> None:
    await write(STREAM + chunk(TEXT) + chunk(b"data: "))
    while True:
        await write(chunk(b"x") * 10_000)


async def trailers(write: Write) -> None:
    await write(STREAM + chunk(TEXT) + b"0\r\n")
    while True:
        await write(b"x-a: b\r\n" * 1_000)


async def chunk_extensions(write: Write) -> None:
    await write(STREAM + chunk(TEXT))
    while True:
        await write(b"1;" + b"x" * 60_000)


async def deep_json(write: Write) -> None:
    await write(JSON + chunk(b"[" * 1_000_000) + b"0\r\n\r\n")


async def deep_event(write: Write) -> None:
    await write(STREAM + chunk(b"data: " + b'{"choices":' * 100_000 + b"\n\n") + b"0\r\n\r\n")


async def many_events(write: Write) -> None:
    await write(STREAM)
    while True:
        await write(chunk(b"data: {}\n\n" * 1_000))


BEHAVIOURS = {
    one.__name__: one
    for one in (
        silent,
        endless_head,
        interim_answers,
        tiny_chunks,
        endless_line,
        endless_answer,
        many_members,
        garbage,
        short_answer,
        long_answer,
        two_lengths,
        gzip_bomb,
        bomb_of_comments,
        bomb_of_comments_in_an_answer,
        bomb_of_spaces,
        gzip_of_nothing,
        gzip_of_crumbs,
        comments,
        comments_in_an_answer,
        blank_lines,
        empty_data,
        events_without_text,
        spaces,
        spaces_in_an_answer,
        crumbs_of_an_answer,
        crumbs_of_a_stream,
        trailers,
        chunk_extensions,
        deep_json,
        deep_event,
        many_events,
    )
}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def write(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(int(length.partition(b":")[2]))
        await BEHAVIOURS[json.loads(body)["model"]](write)
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
