"""How much something does, without a clock."""

import sys


class Work:
    """Counts calls of functions: what a clock would say, were the machine always alone."""

    def __init__(self):
        self.calls = 0

    def __enter__(self):
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)

    def _count(self, frame, event, argument):
        self.calls += event in ("call", "c_call")
