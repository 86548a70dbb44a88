"""Streampai: one Trio daemon that runs a streamer's whole show.

The tree of tasks is drawn in :mod:`streampai.app`; what happens is in
:mod:`streampai.events`, what is asked in :mod:`streampai.commands`, what may
go wrong and is expected in :mod:`streampai.errors`.
"""

__version__ = "0.1.0"
