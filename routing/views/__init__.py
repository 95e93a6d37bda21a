"""What people read of the table."""
