"""Chat Completions, legacy Completions beside it, passed on; what every translated answer goes through, too."""
