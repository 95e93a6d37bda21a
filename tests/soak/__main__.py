"""`python -m tests.soak NAME [--seed N] [--count N]`: one long run of a promise that the tests keep a short form of."""

import argparse
import importlib

from tests.soak.report import Report

SOAKS = {
    "crash-edge": ("crash", "edge", 100, "kills of the edge under load"),
    "crash-collector": ("crash", "collector", 50, "kills of the collector under load"),
    "lossy-link": ("link", "lossy", 100_000, "records over a link that loses 30 % of replies and doubles 30 % of requests"),
    "outage": ("link", "outage", 600, "seconds without a collector at 50 requests a second"),
    "warm-path": ("link", "warm_path", 10_000, "requests with 150 ms added to the collector's link"),
    "last-cent": ("last_cent", "soak", 10, "rounds of 200 requests at once over 3 nodes on credit for 37"),
    "tiny-balances": ("life", "tiny", 100, "accounts of 3 to 50 requests over 3 to 8 edges, with providers that report too much"),
    "drains": ("life", "drains", 12, "rolling restarts behind HAProxy under calls and long streams"),
    "rolling": (
        "rolling",
        "soak",
        3,
        "rolling restarts of 3 machines with 2 workers behind HAProxy under 100 streams, each with an upgrade",
    ),
    "twins": ("life", "twins", 10, "processes of one node, one after another on disks of their own"),
    "away": ("life", "away", 840, "seconds without a collector for accounts at 0.1, 1 and 20 requests a second"),
    "renewals": ("life", "renewals", 600, "seconds of renewals by eight nodes on PostgreSQL"),
    "restarts": ("life", "restarts", 20, "restarts of PostgreSQL under load"),
    "disk-full": ("disk", "soak", 3, "times a small disk fills up and is emptied again"),
    "backlog": ("backlog", "soak", 1024, "MiB of journal that a dead process left, beside a start"),
    "ledger": ("ledger", "soak", 1_000_000, "random ledger operations on both stores"),
    "history": ("history", "soak", 10_000_000, "generations of an account in a year, drawn from PostgreSQL; a tenth on SQLite"),
    "hostile": ("hostile", "soak", 8, "seconds of each attack on a running edge, with an honest caller beside it"),
    "siege": ("hostile", "siege", 3_600, "seconds of attacks, three at once, with twenty honest callers beside them"),
    "bodies": ("hostile", "bodies", 100_000, "bodies that are nearly requests, at every surface of an edge"),
    "framing": ("hostile", "framing", 1_000_000, "conversations that try to make two readers disagree on where a request ends"),
    "clients": ("clients", "soak", 100, "clients, unmodified, against a provider that refuses what OpenAI refuses"),
    "agents": ("agents", "soak", 8, "pairs of Claude Code or Codex CLI, from npm, and a kind of provider"),
    "sdks": ("sdks", "soak", 6, "sets of SDKs, libraries and agents, unmodified, on every surface that they have"),
    "claims": ("claims", "soak", 200_000, "streams whose usage objects were mangled byte by byte"),
    "liars": ("liars", "soak", 10_000, "worlds in which providers lie about their usage and records are refused"),
    "smuggling": ("hostile", "smuggling", 5_000, "hostile conversations behind HAProxy and nginx, with honest callers between"),
    "provider-fuzz": ("provider", "soak", 50_000, "bodies of arbitrary bytes from a provider, through the relay"),
    "limits": ("limits", "soak", 180, "seconds at each load of a limit shared by three edges, one of them cut off"),
    "scrape": ("scrape", "soak", 50, "scrapes of an edge with 40 providers and 500 models of each"),
    "permits": ("limits", "permits", 1_000_000, "admissions, ends and crashes; permits held are requests running"),
    "failover": ("failover", "callers", 1_000, "callers beside one healthy key or target, each provider failing in another way"),
    "targets": ("failover", "targets", 200, "streams while one of three targets is killed and one hangs"),
    "reloads": ("reloads", "soak", 1_000, "reloads under load, a third of broken, torn, slow or empty files, secrets rotated"),
    "mutations": ("mutations", "soak", 1_000, "mistakes in money, bytes and lifecycle, at most; each has to be caught"),
    "prices": ("prices", "soak", 1_000_000, "prices against exact fractions"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.epilog = "\n".join(f"{name:16} {count:>9} {text}" for name, (_, _, count, text) in SOAKS.items())
    parser.add_argument("name", choices=[*SOAKS, "all"])
    parser.add_argument("--seed", type=int, default=20_261_122)
    parser.add_argument("--count", type=int, default=None, help="how many, instead of the number below")
    options = parser.parse_args()
    for name in SOAKS if options.name == "all" else (options.name,):
        module, function, count, _ = SOAKS[name]
        soak = getattr(importlib.import_module(f"tests.soak.{module}"), function)
        soak(Report(name, options.seed), options.seed, options.count or count)


if __name__ == "__main__":
    main()
