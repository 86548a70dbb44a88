"""``streampai user``: add and list users, set passwords, straight in the store.

The store takes several processes, so the daemon may be running meanwhile.
"""

import argparse
import getpass
import os
import sys

import trio

from ..errors import BadRequest, SettingsError
from ..settings import StorageSettings, load_settings
from ..storage import open_storage
from ..telemetry import Telemetry
from .options import environment


def _read_password(*, stdin: bool) -> str:
    """One line of standard input, or asked for twice on a terminal."""
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise SettingsError("Give --password-stdin and the password on standard input.")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise BadRequest("The two passwords differ.")
    return password


async def _add(settings: StorageSettings, name: str, password: str, admin: bool) -> None:
    async with open_storage(settings, telemetry=Telemetry()) as storage:
        await storage.users.add(name, password, admin=admin)


async def _set_password(settings: StorageSettings, name: str, password: str) -> None:
    async with open_storage(settings, telemetry=Telemetry()) as storage:
        await storage.users.set_password(name, password)


async def _list(settings: StorageSettings) -> None:
    async with open_storage(settings, telemetry=Telemetry()) as storage:
        for user in await storage.users.all():
            role = "admin" if user.admin else ""
            print(f"{user.id:>6}  {user.name:32}  {user.created_at:%Y-%m-%d}  {role}".rstrip())


def user(args: argparse.Namespace) -> int:
    settings = load_settings(environment(os.environ, STREAMPAI_DATA=args.data)).storage
    if args.action != "add" and not settings.data.is_dir():
        raise SettingsError(f"There is no data directory {settings.data}.")
    if args.action == "list":
        trio.run(_list, settings)
        return 0
    password = _read_password(stdin=args.password_stdin)
    if args.action == "add":
        trio.run(_add, settings, args.name, password, args.admin)
        print(f"Added {args.name}.")
    else:
        trio.run(_set_password, settings, args.name, password)
        print(f"Set the password of {args.name}; all its log-ins have ended.")
    return 0
