"""What is asked.

RPC methods and REST routes are the same commands. ``method`` is the name of
the RPC; ``decode_command`` turns untrusted JSON into one of these classes or
raises BadRequest naming the field. Every command carries an ``id`` chosen by
the asker: sent twice with the same id it acts once.
"""

import re
from collections.abc import Mapping
from typing import Any

import attrs
import cattrs

from .errors import BadRequest, CommandRefused

MAX_PLATFORM_NAME = 32
MAX_TEXT = 2_000
MAX_COMMAND_ID = 64


@attrs.frozen(kw_only=True)
class Command:
    id: str


@attrs.frozen(kw_only=True)
class StartStream(Command):
    platforms: tuple[str, ...]


@attrs.frozen(kw_only=True)
class StopStream(Command):
    pass


@attrs.frozen(kw_only=True)
class SetDestination(Command):
    """Choose a platform for the show, or drop it; while streaming this takes effect at once."""

    platform: str
    enabled: bool


@attrs.frozen(kw_only=True)
class RetryDestination(Command):
    platform: str


@attrs.frozen(kw_only=True)
class SendChat(Command):
    """``platforms`` empty means all that are connected."""

    text: str
    platforms: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class EditMetadata(Command):
    """None leaves a field as it is. ``category`` is a name; each platform looks it up."""

    title: str | None = None
    category: str | None = None
    platforms: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class RotateKey(Command):
    """A new stream key at the ingest; whoever sends with the old one is cut off."""


_CLASSES: tuple[type[Command], ...] = (
    StartStream,
    StopStream,
    SetDestination,
    RetryDestination,
    SendChat,
    EditMetadata,
    RotateKey,
)
COMMANDS: Mapping[str, type[Command]] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower(): cls for cls in _CLASSES
}
_NAMES = {cls: name for name, cls in COMMANDS.items()}


def command_name(command: Command) -> str:
    return _NAMES[type(command)]


def _strict(value: Any, expected: type) -> Any:
    if type(value) is not expected:
        raise TypeError(f"expected {expected.__name__}, got {type(value).__name__}")
    return value


def _strict_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind in (str, bool, int):
        converter.register_structure_hook(kind, _strict)
    converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _strict_names)
    return converter


def _strict_names(value: Any, _: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError("expected a list of names")
    if len(value) > 100 or not all(isinstance(name, str) for name in value):
        raise TypeError("expected a list of at most 100 names")
    return tuple(dict.fromkeys(value))


_CONVERTER = _strict_converter()


def _too_long(command: Command) -> str | None:
    if not 1 <= len(command.id) <= MAX_COMMAND_ID:
        return "id"
    for name, limit in (
        ("platform", MAX_PLATFORM_NAME),
        ("text", MAX_TEXT),
        ("title", MAX_TEXT),
        ("category", MAX_TEXT),
    ):
        value = getattr(command, name, None)
        if isinstance(value, str) and len(value) > limit:
            return name
    if any(len(name) > MAX_PLATFORM_NAME for name in getattr(command, "platforms", ())):
        return "platforms"
    return None


def decode_command(method: str, data: object) -> Command:
    """The command that ``method`` names, from parsed but untrusted JSON.

    Raises CommandRefused ``unknown_command``, or BadRequest with the reasons in
    ``details["errors"]``.
    """
    cls = COMMANDS.get(method)
    if cls is None:
        raise CommandRefused(code="unknown_command", method=method[:MAX_COMMAND_ID])
    if not isinstance(data, dict):
        raise BadRequest(f"{method} needs an object", errors=["expected an object"])
    try:
        command: Command = _CONVERTER.structure(data, cls)
    except (cattrs.BaseValidationError, TypeError, ValueError, KeyError) as exc:
        errors = (
            cattrs.transform_error(exc)
            if isinstance(exc, cattrs.BaseValidationError)
            else [str(exc)]
        )
        raise BadRequest(f"{method} is not well-formed", errors=errors[:10]) from exc
    if (field := _too_long(command)) is not None:
        raise BadRequest(f"{method}: {field} is empty or too long", errors=[field])
    return command
