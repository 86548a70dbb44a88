"""``streampai tree``: the daemon's live tree of tasks and their supervisors.

The daemon shows it to whoever has its admin key: STREAMPAI_ADMIN_KEY, or the
token that it leaves in its data directory for those who may read there.
"""

import argparse
import json
import os

from ..errors import NotAuthorised, SettingsError, StreampaiError
from ..settings import Settings, load_settings
from ..telemetry.task_node import TaskNode
from .daemon_client import get_json, local_url
from .options import environment
from .tree_picture import picture

TOKEN_FILE = "admin-token"
TIMEOUT = 10.0


def _key(settings: Settings) -> str:
    if settings.web.admin_key:
        return settings.web.admin_key.reveal()
    path = settings.storage.data / TOKEN_FILE
    try:
        return path.read_text().strip()
    except OSError as exc:
        raise SettingsError(
            f"no key: STREAMPAI_ADMIN_KEY is not set and {path} cannot be read ({exc.strerror})"
        ) from exc


def tree(args: argparse.Namespace) -> int:
    settings = load_settings(environment(os.environ, STREAMPAI_DATA=args.data))
    url = args.url.rstrip("/") if args.url else local_url(settings.web)
    key = _key(settings)
    try:
        status, body = get_json(f"{url}/api/tree", timeout=TIMEOUT, headers={"X-API-Key": key})
    except OSError as exc:
        raise ConnectionError(f"{url} does not answer: {exc.strerror or exc}") from exc
    if status in (401, 403):
        raise NotAuthorised(f"{url} does not accept the admin key")
    try:
        nodes = [TaskNode.from_dict(node) for node in body["tree"]]
    except (KeyError, TypeError) as exc:
        # Also what an error answer with another body comes to.
        raise StreampaiError(f"{url} answers {status}, but not as Streampai does") from exc
    print(json.dumps(body["tree"]) if args.json else picture(nodes))
    return 0
