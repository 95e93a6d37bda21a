"""Answers that pass: the stream and the whole one, with id, model and usage swapped."""
