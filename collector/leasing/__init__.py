"""Credit lent to nodes: epochs, leases, what is called back."""
