"""What the commands for the routing table do: check, diff, fmt, prices."""
