"""Wallets kept filled: what is held, what is asked for, what is on its way back."""
