"""Clients as their users have them, unmodified: drivers, the strict provider they are served from, and what each must see."""
