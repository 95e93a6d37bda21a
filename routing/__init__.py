"""Decides where a request goes and what crosses. Pure: values in, values out; no loop, clock, socket, file or environment."""
