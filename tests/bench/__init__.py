"""Measurements against bare Trio in the same run, and what they have to reach.

Each module's ``measure`` makes one round of figures; ``__main__`` makes several
rounds and tells the medians. No part of the tests: run scripts/bench.
"""
