"""The double-entry books, and every check of them."""
