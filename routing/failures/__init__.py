"""What went wrong: its cause, whose fault it is, and what may follow."""
