"""The pages of whoever runs the collector: all accounts, top-ups, nodes, providers, the audit log."""
