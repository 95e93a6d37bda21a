"""What an account's API tells of what was used: generations, sums, files."""
