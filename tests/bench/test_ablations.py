"""The switches that take speed-ups out, and the arithmetic of what each is worth."""

from typing import Any

import pytest

from bench.ablations import ABLATIONS, Row, report
from bench.plain import SWITCHES, apply
from routing.rewrite.chat.stream import StreamRewrite


@pytest.mark.parametrize("name", SWITCHES)
def test_switch_replaces_what_is_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A switch whose speed-up was renamed would measure nothing."""
    replaced: list[str] = []

    def patch(owner: Any, attribute: str, value: Any) -> None:
        assert getattr(owner, attribute) is not value
        monkeypatch.setattr(owner, attribute, value)
        replaced.append(attribute)

    apply([name], patch)
    assert replaced


def test_switch_makes_the_speed_up_decline(monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves the work to the plain route."""
    apply(["swap"], monkeypatch.setattr)
    assert StreamRewrite.swap(object(), b"data: {}\n\n") == b""  # type: ignore[arg-type]


def test_every_switch_has_a_row() -> None:
    """A second route without a figure has no reason to stay."""
    assert {ablation.switch for ablation in ABLATIONS} == set(SWITCHES)


def test_row_is_weighed_round_by_round() -> None:
    """The median of the rounds' own ratios, so that a slow minute counts for both."""
    stays = Row(ABLATIONS[0], [96.0, 192.0, 90.0], [100.0, 200.0, 100.0])
    goes = Row(ABLATIONS[1], [98.0, 100.0, 99.0], [100.0, 100.0, 100.0])
    assert (round(stays.worth, 6), round(goes.worth, 6)) == (0.04, 0.01)
    lines = report([stays, goes]).splitlines()
    assert lines[-2].endswith("| 4.0% | stays |")
    assert lines[-1].endswith("| 1.0% | goes |")
