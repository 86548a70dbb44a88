"""Who may import whom, as style.md draws it.

    cli → app → web → livestream → cloudflare, platforms → events, commands, errors, names, settings

storage stands beside livestream; runtime and telemetry may be used by everyone above and know
nothing of streams; the sandbox is a server of its own that only the cli starts.
"""

import ast
from pathlib import Path

import pytest

import streampai

ROOT = Path(streampai.__file__).parent
WORDS = {"events", "commands", "errors", "names", "settings"}
FOUNDATION = WORDS | {"runtime", "telemetry"}

ALLOWED = {
    "__main__": {"cli"},
    "cli": FOUNDATION | {"app", "platforms", "sandbox", "storage"},
    "app": FOUNDATION | {"cloudflare", "livestream", "platforms", "storage", "web"},
    "web": FOUNDATION | {"livestream", "platforms", "storage"},
    "livestream": FOUNDATION | {"cloudflare", "platforms", "storage"},
    # Of the platforms it knows the contract only: what an identity and its tokens are.
    "storage": FOUNDATION | {"platforms.platform"},
    "cloudflare": FOUNDATION,
    "platforms": FOUNDATION,
    # The task tree says what supervisors know of their tasks.
    "telemetry": {"settings", "runtime"},
    "runtime": set(),
    "sandbox": set(),
    "settings": {"errors"},
    "commands": {"errors"},
    "events": set(),
    "errors": set(),
    "names": set(),
}
# Each of these is one place's business; the reasons are in style.md and the modules themselves.
ONLY_IN = {
    "asyncio": set(),
    "requests": set(),
    "unittest.mock": set(),
    "sqlite3": {"storage"},
    "quart": {"web", "sandbox"},
    "hypercorn": {"web", "sandbox"},
    "prometheus_client": {"telemetry"},
    "argparse": {"cli"},
    "trio_websocket": {"runtime"},
}


def modules():
    return sorted(ROOT.rglob("*.py"))


def imports(path):
    """Absolute names of all that a module imports, wherever in it: ``streampai.web.wire``, ``trio``."""
    package = ("streampai", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            # `from .. import names` imports a module, `from ..names import Key` a thing of one.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def layer(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


def turned_back(path):
    """What ``path`` imports of this project though its layer may not."""
    own = layer(path)
    for name in imports(path):
        where, _, inside = name.partition(".")
        if where != "streampai" or inside.partition(".")[0] == own or inside == "__version__":
            continue
        if not any(f"{inside}.".startswith(f"{allowed}.") for allowed in ALLOWED[own]):
            yield name


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_never_turn_back(path):
    if path == ROOT / "__init__.py":
        assert list(imports(path)) == []
    else:
        assert list(turned_back(path)) == []


def test_every_layer_is_in_the_drawing():
    found = {layer(path) for path in modules()} - {"__init__"}
    assert found == set(ALLOWED)


def test_the_drawing_has_no_circle():
    def reach(name, path):
        assert name not in path, f"{' → '.join(path)} → {name}"
        for below in ALLOWED[name]:
            reach(below.partition(".")[0], (*path, name))

    # Storage takes the contract from platforms, which takes nothing from storage.
    for name in ALLOWED:
        reach(name, ())


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_in_one_place(library):
    users = {
        layer(path)
        for path in modules()
        for name in imports(path)
        if f"{name}.".startswith(f"{library}.")
    }
    assert users <= ONLY_IN[library]


def test_the_environment_is_read_in_settings_and_where_the_process_begins():
    """journald's and systemd's own variables are telemetry's; all else comes from settings.py."""
    readers = {
        str(path.relative_to(ROOT))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    }
    allowed = {"settings.py", "telemetry/log.py", "telemetry/systemd.py"}
    assert {name for name in readers if not name.startswith("cli/")} <= allowed


def test_the_guard_sees_every_way_to_import(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / "cloudflare" / "client.py"
    path.parent.mkdir()
    path.write_text(
        "import streampai.web.wire\n"
        "from streampai import app\n"
        "from streampai.livestream import manager\n"
        "from .. import storage\n"
        "from ..platforms.twitch import client\n"
        "from . import models\n"
        "from ..errors import BadRequest\n"
        "def late():\n"
        "    from ..sandbox import open_sandbox\n"
    )
    assert sorted(turned_back(path)) == [
        "streampai.app",
        "streampai.livestream.manager",
        "streampai.platforms.twitch.client",
        "streampai.sandbox.open_sandbox",
        "streampai.storage",
        "streampai.web.wire",
    ]
