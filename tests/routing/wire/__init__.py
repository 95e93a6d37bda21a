"""What stands on the wire: framings."""
