"""Accounts, who may do what with them, what they paid and what they can read."""
