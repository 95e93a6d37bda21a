"""Several workers on one machine: one port, one supervisor, and for each worker a node, a data folder and leases of its own."""
