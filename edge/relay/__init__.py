"""One request on its way: its context, its attempts, the answer streamed or whole, and its one settlement."""
