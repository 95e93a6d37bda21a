"""The tables of docs/translation.md are those of the ledgers. `python -m tests.routing.translate.test_docs` writes them anew."""

from pathlib import Path

from tests.routing.translate.test_ledgers import ALL

PAGE = Path(__file__).parents[3] / "docs/translation.md"
START, END = "<!-- made by python -m tests.routing.translate.test_docs -->\n", "<!-- end -->\n"


def tables() -> str:
    """What is refused and what is reported, pair by pair."""
    rows = ["| pair | refused unless it says nothing | declined and reported |", "|---|---|---|"]
    for pair, ledger in ALL.items():
        kinds = {
            kind: [f"`{name}`" for name, rule in sorted(ledger.items()) if rule.kind == kind] for kind in ("demand", "offer")
        }
        rows.append(f"| {pair.replace('_', ' ')} | {' '.join(kinds['demand'])} | {' '.join(kinds['offer'])} |")
    return "\n".join(rows) + "\n"


def page_with_tables() -> str:
    before, _, rest = PAGE.read_text().partition(START)
    return before + START + tables() + END + rest.partition(END)[2]


def test_page_has_the_ledgers() -> None:
    """What an operator reads is what happens."""
    assert PAGE.read_text() == page_with_tables()


if __name__ == "__main__":
    PAGE.write_text(page_with_tables())
