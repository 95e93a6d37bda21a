"""The contract between edge and collector: what was used, what it cost, and the credit it was paid from.

Rule: values in, values out. No loop, clock, socket, file, environment; of third parties only msgspec.
"""
