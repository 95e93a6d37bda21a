"""The account commands of `tollway`."""
