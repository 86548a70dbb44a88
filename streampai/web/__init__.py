"""Pages, HTTP API and WebSocket, on Quart-Trio and Hypercorn."""

from .assembly import open_web
from .server import WebServer

__all__ = ["WebServer", "open_web"]
