"""What was looked at, how it is, and what to do about it."""

from typing import Literal

import msgspec

Level = Literal["ok", "warn", "fail"]
MARKS: dict[Level, str] = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


class Finding(msgspec.Struct, frozen=True):
    """`subject` is what was looked at, `said` how it is; `remedy` is there unless it is well."""

    level: Level
    subject: str
    said: str
    remedy: str = ""

    def lines(self) -> str:
        text = f"{MARKS[self.level]}  {self.subject}: {self.said}\n"
        return text + (f"      remedy: {self.remedy}\n" if self.remedy else "")


def ok(subject: str, said: str) -> Finding:
    return Finding("ok", subject, said)


def warn(subject: str, said: str, remedy: str) -> Finding:
    """It serves, and something is not as it should be."""
    return Finding("warn", subject, said, remedy)


def fail(subject: str, said: str, remedy: str) -> Finding:
    """It does not serve, or soon will not."""
    return Finding("fail", subject, said, remedy)
