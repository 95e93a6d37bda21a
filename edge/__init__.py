"""Everything at the edge that touches the world: sockets, clock, disk, tasks. It moves; `routing` decides and `usage` counts."""
