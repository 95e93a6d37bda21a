"""Who is calling: the key in a head, what is known of it, and where the caller comes from."""
