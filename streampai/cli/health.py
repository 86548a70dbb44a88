"""``streampai health``: the probe. 0 healthy, 1 degraded, 2 down, and one line of reason."""

import argparse
import json
from typing import Any

from ..settings import load_settings
from .daemon_client import get_json, local_url

EXIT_CODES = {"healthy": 0, "degraded": 1, "down": 2, "draining": 2}
# Longer than a healthy daemon ever takes, shorter than a probe's patience.
TIMEOUT = 3.0


def _judge(url: str) -> dict[str, Any]:
    """What the daemon says of itself, or ``down`` with the reason it cannot be heard."""
    try:
        status, body = get_json(f"{url}/readyz", timeout=TIMEOUT)
    except OSError as exc:
        return {"status": "down", "reasons": [f"{url} does not answer: {exc.strerror or exc}"]}
    if not isinstance(body, dict) or str(body.get("status")) not in EXIT_CODES:
        return {"status": "down", "reasons": [f"{url} answers {status}, but not as Streampai does"]}
    return body


def health(args: argparse.Namespace) -> int:
    url = args.url.rstrip("/") if args.url else local_url(load_settings().web)
    report = _judge(url)
    if args.json:
        print(json.dumps(report))
    else:
        reasons = "; ".join(map(str, report.get("reasons", ())))
        print(report["status"] + (f": {reasons}" if reasons else ""))
    return EXIT_CODES[report["status"]]
