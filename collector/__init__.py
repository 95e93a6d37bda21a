"""The collector: accounts, keys, leases, the ledger and the usage history, behind the node protocol and the account API."""
