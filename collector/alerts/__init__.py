"""Alerts: when a balance is low or a key has used its share, told once per fall, by signed webhook and by e-mail."""
