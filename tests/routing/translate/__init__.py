"""Translators, tried on recorded answers, on reports of what others get wrong, and on bytes of any kind."""
