"""What this process says of itself: counters, histograms, and what it makes of its providers' claims."""
