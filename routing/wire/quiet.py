"""How much a provider may send without saying more of its answer.

Rule: what makes work and brings the caller nothing (comments, blank lines, events without a text, white space, coded bytes that
say nothing, bodies in crumbs) is bounded by its amount. The clocks alone would let a flood of it keep a core busy until they run
out, and a few kilobytes of gzip stand for gigabytes of it.
Limits: far beyond what is honest. A hundred empty events a second for ten minutes are 120,000 lines, and 20 KiB in a read of the
socket are 200; a stream of one token per chunk of the body has some 200 bytes in each.
"""

QUIET_BYTES_MAX = 1_048_576
QUIET_LINES_MAX = 131_072
SLICE_BYTES = 16_384
SLICE_LINES_MAX = 2_048
"""Of so many bytes that came at once: only a flood has lines as short as that, and no part of an answer among them."""
LINES_PER_PART = 8
"""An event with a text is one to five lines."""
PIECES_MAX = 65_536
PIECE_BYTES_MIN = 16
"""What the pieces of a body have to come to on average, beyond the first PIECES_MAX."""


def is_too_fine(pieces: int, size: int) -> bool:
    """Whether a body of `size` bytes comes in so many pieces that taking them is all the work."""
    return pieces > PIECES_MAX + size // PIECE_BYTES_MIN
