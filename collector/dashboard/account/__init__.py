"""The pages of one account, and what can be done on them."""
