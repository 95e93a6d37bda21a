"""Which of Anthropic's betas reach a provider: those that cost nothing, and those that the operator allows."""

import pytest

from routing.surfaces.anthropic.betas import FREE, split


@pytest.mark.parametrize(
    ("header", "kept", "ignored"),
    [
        (b"", b"", ()),
        (b" , ,", b"", ()),
        (b"effort-2025-11-24", b"effort-2025-11-24", ()),
        (b"pdfs-20240925", b"pdfs-20240925", ()),
        (b"context-1m-2025-08-07 ,\teffort", b"context-1m-2025-08-07,effort", ()),
        (b"files-api-2025-04-14", b"", ("files-api-2025-04-14",)),
        (b"code-execution-2025-05-22,effort-2025-11-24", b"effort-2025-11-24", ("code-execution-2025-05-22",)),
        (b"EFFORT-2025-11-24", b"", ("EFFORT-2025-11-24",)),
        (b"effort-2025-11-24\r\nx: y", b"", ("effort-2025-11-24\r\nx: y",)),
        (b"effort-2025", b"", ("effort-2025",)),
        (b"\xff", b"", ("ÿ",)),
        (b"a" * 200, b"", ("a" * 100,)),
    ],
)
def test_betas_are_told_apart(header: bytes, kept: bytes, ignored: tuple[str, ...]) -> None:
    """With or without a date; nothing that is no name goes on, and all of it that does not is named."""
    assert split(header, ()) == (kept, ignored)


@pytest.mark.parametrize("allowed", ["files-api", "files-api-2025-04-14"])
def test_beta_that_the_operator_allows(allowed: str) -> None:
    """By its name, or by its name and date, then that one alone."""
    assert split(b"files-api-2025-04-14", (allowed,)) == (b"files-api-2025-04-14", ())
    other = split(b"files-api-2026-01-01", (allowed,))[0]
    assert other == (b"files-api-2026-01-01" if allowed == "files-api" else b"")


@pytest.mark.parametrize("name", sorted(FREE))
def test_free_beta_goes_on(name: str) -> None:
    assert split(f"{name}-2025-01-01".encode(), ()) == (f"{name}-2025-01-01".encode(), ())
