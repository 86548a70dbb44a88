"""A user's stream: users in and out, the show's life, its state and statistics."""

from .manager import LivestreamManager
from .services import Services
from .user_manager import UserStreamManager

__all__ = ["LivestreamManager", "Services", "UserStreamManager"]
