"""From a table and a request to the attempts that may be made, in order, or to a refusal."""
