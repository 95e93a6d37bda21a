"""Measures this proxy beside others on one machine. `scripts/bench --help` says how; bench/RESULTS.md what came out."""
