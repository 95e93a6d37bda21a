"""A caller's body, as far as it decides, and the body that a provider gets."""
