"""The journals of processes that have died: read, settled, shipped, closed."""
