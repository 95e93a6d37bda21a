"""What an account's API reads and changes: credit, keys, credentials, alerts, top-ups, consent."""
