"""The account commands, a file for each word that follows `tollway`."""
