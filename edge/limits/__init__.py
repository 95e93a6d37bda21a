"""What one process takes on: descriptors, memory, and the lag of its event loop."""
