"""Our server's reading of hostile conversations against a plain one: the short form of `scripts/soak framing`."""

from random import Random

import pytest

from edge.downstream.reader import RequestReader
from tests.hostile.framing import Asked, conversation, differs, plain_reading, served_by_ours

CONVERSATIONS = 20_000
SEED = 20_261_126


def test_conversation_is_read_as_rfc_9112_has_it() -> None:
    """What is served is what a plain reading reads there, whatever was sent and however it was cut."""
    random = Random(SEED)
    for _ in range(CONVERSATIONS):
        reads = conversation(Random(random.getrandbits(64)))
        assert differs(reads) == "", reads


def test_most_of_what_can_be_read_is_served() -> None:
    """The rule above holds for a server that serves nothing, too: ours refuses no more than unknown methods and odd targets."""
    read = served = 0
    for number in range(2_000):
        reads = conversation(Random(SEED + number))
        read += len(plain_reading(b"".join(reads))[0])
        served += len(served_by_ours(reads)[0])
    assert served > 0.95 * read > 500


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"chunked;q=1", b"xchunked", b"chunked, chunked"])
@pytest.mark.parametrize("upgrade", [b"", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"])
def test_coding_that_is_not_undone_is_refused(coding: bytes, upgrade: bytes) -> None:
    """Its body would be passed on as another one than the caller's."""
    data = b"POST / HTTP/1.1\r\nHost: edge\r\n%bTransfer-Encoding: %b\r\n\r\n3\r\nabc\r\n0\r\n\r\n" % (upgrade, coding)
    assert served_by_ours([data]) == ([], True)
    assert plain_reading(data) == ([], True)


def test_wrong_variants_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that takes any coding for chunks, and one that does not count the spaces of the request line."""

    def careless(self: RequestReader, headers: object, names: dict[bytes, bytes], is_old: bool) -> None:
        self._body_left_bytes = -1 if b"transfer-encoding" in names else int(names.get(b"content-length", b"0") or 0)

    def blind(self: RequestReader, piece: bytes) -> None:
        self._spaces, self._is_line_read = 2, True

    for name, wrong in (("_frame_body", careless), ("_watch_head", blind)):
        with monkeypatch.context() as patched:
            patched.setattr(RequestReader, name, wrong)
            assert any(differs(conversation(Random(number))) for number in range(20_000)), name


def test_plain_reading_reads() -> None:
    """The other reader is none that reads nothing."""
    data = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.0\r\n\r\nGET /c HTTP/1.1\r\n\r\n"
    assert plain_reading(data) == ([Asked("POST", b"/a", b"hi"), Asked("GET", b"/b", b"")], False)
