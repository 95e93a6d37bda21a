"""What one generation used, and what it can possibly have used."""
