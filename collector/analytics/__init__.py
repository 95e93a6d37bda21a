"""The history of accounts, read from sums per quarter of an hour: calendar, queries, the engine that answers them, pages."""
