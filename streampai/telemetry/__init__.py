"""What happens inside, told to operators: a list of events, logs, metrics, the task tree.

The bus is what everyone needs. Logs, metrics, the task tree and systemd are
needed by one place each and imported from their modules, so that a command
that only asks a question does not pay for them.
"""

from .bus import Listener, Telemetry

__all__ = ["Listener", "Telemetry"]
