"""What goes out to the caller: a provider's stream or whole answer, and what is said in place of one."""
