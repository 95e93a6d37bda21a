"""The journal on disk: lines, segments, folders, and what an epoch's owner holds open."""
