"""What happens inside, told to operators: a list of events, logs, metrics, the task tree."""

from .bus import Listener, Telemetry

__all__ = ["Listener", "Telemetry"]
