"""What callers ask for by one name, and who serves it: routes, their conditions, and the order of their targets."""
