"""The operator's pages: all accounts, top-ups, nodes, providers, the audit log."""
