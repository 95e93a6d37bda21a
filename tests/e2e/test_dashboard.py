"""The dashboard in a real browser: signed in, read, used, and held to what the API says, without one complaint of the browser.

Strategy: a script drives Debian's chromium as it is told and prints what was seen (`node/browser.mjs`); what that must be is said
here.
Limits: needs `chromium` and `node`; without them these tests are skipped, and `.ci/run` installs both where it can.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collector.dashboard.live import STREAM_S_MAX
from tests.answers import respond
from tests.e2e.statement import eventually
from tests.patience import wait_until
from tests.processes import Account, Edge, get, make_account, post, run
from tests.provider import Provider

HERE = Path(__file__).parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
BYTES_MAX = 60_000
PAGES = ("", "/usage", "/generations", "/keys", "/credit", "/alerts", "/playground", "/sessions")
OPERATOR_PAGES = ("/accounts", "/top-ups", "/nodes", "/providers", "/audit", "/verify?run=1")

pytestmark = [
    pytest.mark.skipif(not CHROMIUM or shutil.which("node") is None, reason="chromium or node is not installed"),
    pytest.mark.timeout(120),  # a browser starts in each; what one step waits for has its own limit
]
Browse = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def packages() -> None:
    subprocess.run(["./install"], cwd=HERE, check=True, timeout=120)


@pytest.fixture
def browse(packages: None, edge: Edge) -> Browse:
    """Does steps in the browser; what each of them saw. No complaint is let pass but those that `but` allows."""

    def do(*steps: tuple[Any, ...], but: str = "", **options: Any) -> list[Any]:
        given = {"base": edge.origin, "chromium": CHROMIUM, "steps": steps, "options": options}
        done = subprocess.run(
            ["node", "node/browser.mjs"],
            cwd=HERE,
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        told = json.loads(done.stdout)
        complaints = [each for each in told["complaints"] if not (but and re.search(but, each))]
        assert complaints == []
        seen: list[Any] = told["seen"]
        return seen

    return do


def login(edge: Edge, *whose: str) -> list[tuple[Any, ...]]:
    """The steps that sign in by a one-time link."""
    link = run(edge, "login", *whose).split()[0]
    return [("goto", "/dashboard/login/" + link.rpartition("/")[2]), ("click", "button.primary"), ("wait", "main h1")]


def chat(edge: Edge, key: str, text: str = "Hello, Tollway") -> Any:
    """One paid request to the echo."""
    body = {"model": "echo/echo-1", "messages": [{"role": "user", "content": text}]}
    return post(edge.port, body, {"authorization": f"Bearer {key}"}, "/v1/chat/completions")


@pytest.fixture
def owner(edge: Edge, request: pytest.FixtureRequest) -> Account:
    """An account with three generations."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-")
    account = make_account(edge, name, "10.00")
    for _ in range(3):
        assert chat(edge, account.key).status == 200
    wait_until(lambda: len(get(edge.port, "/api/v1/generations", account.headers).json()["data"]) == 3)
    return account


def ends_of(edge: Edge, account: Account) -> list[str]:
    """How each generation of an account ended."""
    return [each["end_reason"] for each in get(edge.port, "/api/v1/generations", account.headers).json()["data"]]


def credits(edge: Edge, account: Account) -> dict[str, str]:
    body: dict[str, str] = get(edge.port, "/api/v1/credits", account.headers).json(parse_float=str, parse_int=str)["data"]
    return body


def test_figures_are_those_of_the_api(browse: Browse, edge: Edge, owner: Account) -> None:
    """Balance and spend to the last digit; the table behind the chart adds up to the same."""
    said = credits(edge, owner)
    seen = browse(
        *login(edge, owner.name),
        ("attribute", "#spent-today", "title"),
        ("attribute", "#balance", "title"),
        ("goto", "/dashboard/usage"),
        ("attribute", "#total-cost", "title"),
        ("texts", "#series tbody tr"),
    )
    assert seen[3] == f"${said['total_usage']}"
    assert float(seen[4].removeprefix("$")) == pytest.approx(10 - float(said["total_usage"]))
    assert seen[6] == f"${said['total_usage']}"
    assert any(said["total_usage"] in row for row in seen[7])


def test_generation_explains_its_bill(browse: Browse, edge: Edge, owner: Account) -> None:
    """The list leads to one generation, whose lines add up to what /generation says it cost."""
    seen = browse(
        *login(edge, owner.name),
        ("goto", "/dashboard/generations?model=echo"),
        ("texts", "main tbody tr"),
        ("click", "main tbody tr a"),
        ("wait_text", "h1", "Generation"),
        ("text", ".notice"),
        ("text", "tfoot .num"),
        ("text", "dd.mono"),
    )
    assert len(seen[4]) == 3
    assert "Was I charged, and why?" in seen[7]
    assert "Yes: the answer was delivered in full." in seen[7]
    record = get(edge.port, f"/api/v1/generation?id={seen[9].strip()}", owner.headers).json(parse_float=str)["data"]
    assert seen[8].strip() == f"${record['total_cost']}"


def test_key_is_made_used_and_revoked(browse: Browse, edge: Edge, owner: Account) -> None:
    """It is shown once, works at the edge, and is refused after it was revoked."""
    made = browse(
        *login(edge, owner.name),
        ("goto", "/dashboard/keys"),
        ("fill", "input[name=name]", "made <b>here</b>"),
        ("fill", "input[name=limit]", "1.50"),
        ("click", "button.primary"),
        ("wait", "#made"),
        ("text", "#made"),
        ("texts", "main tbody tr"),
    )
    key = made[8].strip()
    assert any("made <b>here</b>" in row and "$1.50" in row for row in made[9])
    assert chat(edge, key).status == 200
    browse(
        *login(edge, owner.name),
        ("goto", "/dashboard/keys"),
        ("click", "main tbody tr:first-child button.danger"),
        ("wait_text", "main tbody tr:last-child", "revoked"),
    )

    def is_refused() -> bool:
        status: int = chat(edge, key).status
        assert status in (200, 401)
        return status == 401

    wait_until(is_refused)


def test_limit_that_is_changed_is_obeyed_at_the_edge(browse: Browse, edge: Edge, owner: Account) -> None:
    """Less than a request costs: the next ones are refused, without a new key or a restart."""
    browse(
        *login(edge, owner.name), ("goto", "/dashboard/keys"), ("click", "main tbody tr:first-child a"),
        ("wait_text", "main", "Change it"), ("fill", "main input[name=limit]", "0.000000001"), ("click", "main button.primary"),
        ("wait_text", ".cards", "of $0.000000001"),
    )  # fmt: skip
    eventually(lambda: chat(edge, owner.key).status, lambda status: status == 402)


def test_playground_answers(browse: Browse, edge: Edge, owner: Account) -> None:
    """The stream, its usage and cost, the lines for elsewhere, and the way to the generation."""
    seen = browse(
        *login(edge, owner.name),
        ("goto", "/dashboard/playground"),
        ("fill", "#message", "Say this back"),
        ("click", "#send"),
        ("wait_text", "#answer", "Say this back"),
        ("wait_text", "#cost", "$"),
        ("text", "#completion_tokens"),
        ("text", "#generation"),
        ("text", "#curl"),
        ("click", "#generation"),
        ("wait_text", "h1", "Generation"),
        ("text", "dd.mono"),
    )
    assert seen[8].isdigit()
    assert seen[9].startswith("gen-")
    assert '"content":"Say this back"' in seen[10]
    assert seen[13].strip() == seen[9]


def test_page_shows_a_finished_request_by_itself(browse: Browse, edge: Edge, owner: Account) -> None:
    """Two tabs: what one asks for shows in the other before it would ask anew."""
    browse(
        *login(edge, owner.name),
        ("goto", "/dashboard/generations"),
        ("texts", "main tbody tr"),
        ("tab", "/dashboard/playground"),
        ("click", "#send"),
        ("wait_text", "#cost", "$"),
        ("back_to_first",),
        ("wait_within", "main tbody tr:nth-child(4)", (STREAM_S_MAX - 3) * 1000),
    )


def test_page_that_follows_keeps_what_one_is_doing(browse: Browse, edge: Edge, owner: Account) -> None:
    """A form half filled in, the cursor in it and a table that was opened stay, while what is new comes in around them."""
    ask: list[tuple[Any, ...]] = [
        ("tab", "/dashboard/playground"),
        ("click", "#send"),
        ("wait_text", "#cost", "$"),
        ("back_to_first",),
    ]
    seen = browse(
        *login(edge, owner.name),
        ("goto", "/dashboard/keys"), ("fill", "input[name=name]", "half ty"), ("select", "select[name=life]", "30"),
        ("focus", "input[name=name]"), *ask, ("wait", "main tbody tr:nth-child(2)"), ("type", "ped"),
        ("value", "input[name=name]"), ("value", "select[name=life]"),
        ("goto", "/dashboard/usage"), ("click", "details:last-of-type summary"), *ask, ("wait_text", "#series tfoot", "5"),
        ("attribute", "details:last-of-type", "open"),
    )  # fmt: skip
    assert seen[13:15] == ["half typed", "30"]
    assert seen[-1] is not None


def test_sessions_elsewhere_end(browse: Browse, edge: Edge, owner: Account) -> None:
    """Signed out in another browser, a page asks for a sign-in."""
    seen = browse(
        *login(edge, owner.name),
        ("use", "second"),
        *login(edge, owner.name),
        ("goto", "/dashboard/sessions"),
        ("click", "main .head button.danger"),
        ("wait_text", "main", "this one"),
        ("cookies",),
        ("use", "main"),
        ("goto", "/dashboard/keys"),
        ("url",),
    )
    (cookie,) = (each for each in seen[10] if each["name"] == "__Host-tollway")
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"], cookie["path"]) == (True, True, "Lax", "/")
    assert seen[-1].endswith("/dashboard/login?next=%2Fdashboard%2Fkeys")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible_and_small(browse: Browse, edge: Edge, owner: Account, scheme: str) -> None:
    """No serious finding of axe, nothing wider than a phone, and no more than 60 kB a page."""
    pages = (*PAGES, f"/keys/{owner.key_id}")
    steps: list[tuple[Any, ...]] = [*login(edge, owner.name), ("media", {"colorScheme": scheme})]
    for page in pages:
        steps += [("size", 1280, 900), ("goto", "/dashboard" + page), ("axe",), ("bytes",), ("size", 375, 812), ("wide",)]
    seen = browse(*steps)[4:]
    assert {page: seen[at * 6 + 2] for at, page in enumerate(pages)} == {page: [] for page in pages}
    assert all(seen[at * 6 + 3] <= BYTES_MAX for at in range(len(pages))), [seen[at * 6 + 3] for at in range(len(pages))]
    assert {page: seen[at * 6 + 5] for at, page in enumerate(pages)} == dict.fromkeys(pages, 0)


def test_phone_shows_all_of_a_page(browse: Browse, edge: Edge, owner: Account, provider: Provider, model: str) -> None:
    """At 375 pixels the page of a key and the lists of generations are read without moving anything sideways, how each one ended
    included, also where that has the longest name."""
    provider.script(model, respond({"error": {"message": "no"}}, 400))
    body = {"model": f"mock/{model}", "messages": [{"role": "user", "content": "Hello"}]}
    assert post(edge.port, body, owner.headers, "/v1/chat/completions").status == 400
    wait_until(lambda: len(ends_of(edge, owner)) == 4)
    assert "upstream_error" in ends_of(edge, owner)
    steps: list[tuple[Any, ...]] = [*login(edge, owner.name), ("size", 375, 812)]
    for page in (f"/keys/{owner.key_id}", "", "/generations"):
        steps += [("goto", "/dashboard" + page), ("wide",), ("scrolled",), ("texts", "main .tag")]
    seen = browse(*steps)[4:]
    assert [(seen[at + 1], seen[at + 2]) for at in (0, 4, 8)] == [(0, [])] * 3
    assert [sorted(set(seen[at + 3])) for at in (0, 4, 8)] == [["active"], *[["completed", "upstream_error"]] * 2]


def test_pages_are_walked_by_keyboard(browse: Browse, edge: Edge, owner: Account) -> None:
    """From the link that skips the navigation to a key that was made: by Tab, Enter and letters, and what has the focus shows."""
    tab = ("press", "Tab")
    seen = browse(
        *login(edge, owner.name),
        ("goto", "/dashboard/usage"), tab, ("focused",), ("press", "Enter"), tab, ("focused",), ("outlined",),
        ("press", "Enter"), ("wait_text", ".tabs [aria-current]", "24 hours"), ("url",),
        ("goto", "/dashboard"), tab, tab, tab, tab, ("focused",), tab, tab, ("focused",), ("press", "Enter"),
        ("wait_text", "h1", "Keys"), ("focus", "main select"), tab, ("type", "by keyboard"), tab, ("type", "2.50"),
        ("press", "Enter"), ("wait", "#made"), ("texts", "main tbody tr"),
    )  # fmt: skip
    assert 'class="skip"' in seen[5]
    assert ("24 hours" in seen[8], seen[9]) == (True, True)
    assert "period=day" in seen[12]
    assert ("usage" in seen[18], "keys" in seen[21]) == (True, True)
    assert any("by keyboard" in row and "$2.50" in row for row in seen[-1])


def test_operators_pages_are_accessible(browse: Browse, edge: Edge, owner: Account) -> None:
    """All of them, in both themes; an account is opened from the list."""
    steps: list[tuple[Any, ...]] = login(edge, "--operator")
    for page in OPERATOR_PAGES:
        for scheme in ("light", "dark"):
            steps += [("media", {"colorScheme": scheme}), ("goto", "/dashboard" + page), ("axe",)]
    seen = browse(*steps, ("goto", f"/dashboard/accounts?q={owner.name}"), ("click", "main tbody a"), ("text", ".who"))
    assert [each for each in seen[3:-3][2::3] if each] == []
    assert owner.name in seen[-1]


def test_pages_read_without_script(browse: Browse, edge: Edge, owner: Account) -> None:
    """Sign-in, charts and tables need none."""
    seen = browse(
        *login(edge, owner.name), ("goto", "/dashboard/usage"), ("texts", "#series tbody tr"), ("attribute", "svg.chart", "role"),
        javaScriptEnabled=False,
    )  # fmt: skip
    assert len(seen[-2]) >= 1
    assert seen[-1] == "img"
