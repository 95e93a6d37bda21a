"""The table in force: providers, their secrets and their health; the built-in provider; trials of what is closed."""
