"""The dashboard: what an account owner and an operator look at in a browser, rendered at the collector."""
