"""The platforms: one contract, one loop, one table.

A platform is a folder beside this file and a line in ``PLATFORMS``.
"""

from collections.abc import Callable, Mapping

from .monitor import PlatformMonitor
from .platform import (
    AccessTokens,
    Account,
    Destination,
    DeviceCode,
    Emit,
    Identity,
    Limits,
    Notifications,
    Now,
    Platform,
    PlatformContext,
    SentMessage,
    Source,
    Tokens,
)
from .tokens import AccountTokens
from .twitch import TwitchPlatform

PLATFORMS: Mapping[str, Callable[[PlatformContext], Platform]] = {"twitch": TwitchPlatform}

__all__ = [
    "PLATFORMS",
    "AccessTokens",
    "Account",
    "AccountTokens",
    "Destination",
    "DeviceCode",
    "Emit",
    "Identity",
    "Limits",
    "Notifications",
    "Now",
    "Platform",
    "PlatformContext",
    "PlatformMonitor",
    "SentMessage",
    "Source",
    "Tokens",
]
