"""`tollway doctor`: everything that can be wrong with this machine before and while it serves, each with its remedy."""
