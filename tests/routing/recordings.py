"""The recorded streams and answers of providers that speak OpenAI's dialect (see tests/recorded/README.md)."""

from pathlib import Path

FOLDER = Path(__file__).parent.parent / "recorded"
STREAMS = sorted(path.name.removesuffix(".chunks.txt") for path in FOLDER.glob("*.chunks.txt"))
ANSWERS = sorted(path.name.removesuffix(".json") for path in FOLDER.glob("*.json"))


def chunks(name: str) -> list[bytes]:
    """The JSON texts of a stream's events."""
    return [line for line in (FOLDER / f"{name}.chunks.txt").read_bytes().split(b"\n") if line.strip()]


def wire(name: str, ending: bytes = b"\n", *, done: bool = True) -> bytes:
    """The stream as the provider sent it."""
    events = [b"data: " + chunk + ending * 2 for chunk in chunks(name)]
    return b"".join(events) + (b"data: [DONE]" + ending * 2 if done else b"")


def answer(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()
