"""Commands of `tollway` that need more than a function (`edge.cli` has the rest)."""
