"""A world in one thread: clock, dice, network and disks belong to it, and the real transitions of edge and collector are driven
through everything that can go wrong. `python -m tests.sim --seed K --trace` replays a failure.
"""
