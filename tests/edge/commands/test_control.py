"""`tollway status` in words: what is in force, what rests, and what comes back."""

from edge.commands.control import _lines

STATUS = {
    "node": "fra-1",
    "ready": True,
    "open_requests": 3,
    "problems": [],
    "warnings": ["the clock is two seconds ahead"],
    "config": {"version": "abc", "succeeded": False, "problem": "it is empty"},
    "resting": [{"provider": "a", "key": "env:A", "model": "m", "closed_for_s": 12.3, "failures": 5, "cause": "overloaded"}],
    "returning": [{"provider": "b", "key": "", "model": "", "part": 0.4}],
    "first_token_s": {"a/m": 0.25},
}


def test_status_says_what_rests_and_what_comes_back() -> None:
    assert _lines(STATUS) == [
        "node fra-1: ready, 3 requests open",
        "  warning: the clock is two seconds ahead",
        "table abc: the file is not used: it is empty",
        "  rests: a env:A m, 12 s more after 5 failures, the last: overloaded",
        "  comes back: b, is given 40% of its requests",
        "  a/m: first token after 0.25 s",
    ]
