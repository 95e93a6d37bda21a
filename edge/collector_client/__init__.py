"""The edge's side of the collector: the session of one epoch, its HTTP form, and the shipping of what is in the outbox."""
