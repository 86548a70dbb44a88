"""Twitch: OAuth, Helix and EventSub. The facts are of Twitch's reference of February 2026."""

from .account import TwitchAccount
from .normalise import normalise
from .platform import TwitchPlatform
from .source import EventSubSource

__all__ = ["EventSubSource", "TwitchAccount", "TwitchPlatform", "normalise"]
