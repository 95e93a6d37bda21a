"""Usage facts on their way to other systems: from the outbox, each fact once in effect, and never in the way of money."""
