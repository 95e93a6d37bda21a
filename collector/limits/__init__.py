"""Limits that are shared by edges: soft state, rebuilt from what they report."""
