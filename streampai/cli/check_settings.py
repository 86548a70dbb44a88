"""``streampai check-settings``: every setting, its present value, where that comes from, its story."""

import argparse
import textwrap
from collections.abc import Iterator

import attrs

from ..settings import SECTIONS, effective_settings

_TITLES = {
    "web": "Web",
    "storage": "Storage",
    "livestream": "Streams",
    "platforms": "All platforms",
    "cloudflare": "Cloudflare Stream",
    "twitch": "Twitch",
    "telemetry": "Logs",
}


def _comment(text: str) -> Iterator[str]:
    return (f"# {line}" for line in textwrap.wrap(text, 88))


def template() -> str:
    """An environment file for systemd with every setting commented out at its default."""
    lines = [
        "# Streampai's settings, for EnvironmentFile= of streampai.service.",
        "# Every setting is here with its default. Names that end in _INTERVAL or _TIMEOUT and",
        "# their like are milliseconds. Keep this file to root (0600): it may hold secrets.",
        "# `streampai check-settings` shows what is in force and where it comes from.",
    ]
    for name, section in SECTIONS.items():
        lines += ["", f"# --- {_TITLES[name]} ---"]
        for field in attrs.fields(section):
            lines += ["", *_comment(field.metadata["explain"])]
            lines.append(f"#{field.metadata['name']}={field.metadata['default']}")
    return "\n".join(lines) + "\n"


def check_settings(args: argparse.Namespace) -> int:
    if args.template:
        print(template(), end="")
        return 0
    for line in effective_settings():
        print(f"{line.name}={line.value}  ({line.origin})")
        print(f"    {line.explain}")
    return 0
