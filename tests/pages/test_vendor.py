"""The vendored files are what VENDOR.md says."""

import hashlib
import re

from .harness import STATIC

VENDOR = STATIC / "vendor"
ROW = re.compile(r"^\| (\S+/\S+) \|.*\| ([0-9a-f]{64}) \|$", re.MULTILINE)


def test_each_vendored_file_has_the_checksum_that_is_written_down() -> None:
    written = dict(ROW.findall((VENDOR / "VENDOR.md").read_text()))
    present = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "VENDOR.md"
    }
    assert written == present


def test_no_page_has_inline_script_or_style() -> None:
    for page in STATIC.glob("*.html"):
        text = page.read_text()
        assert not re.search(r"\sstyle=|\son\w+=|<style", text)
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))


def test_every_icon_that_a_module_names_is_in_the_sprite() -> None:
    known = set(re.findall(r'symbol id="icon-([\w-]+)"', (STATIC / "icons.svg").read_text()))
    named = {
        name
        for module in (STATIC / "js").rglob("*.js")
        for name in re.findall(r'Icon\} name="([\w-]+)"', module.read_text())
    }
    assert named and named <= known


def test_the_stream_page_preloads_each_of_its_modules() -> None:
    modules = {f"/static/{path.relative_to(STATIC)}" for path in (STATIC / "js").rglob("*.js")}
    asked = re.findall(r'(?:modulepreload" href|module" src)="([^"]+)"', (STATIC / "index.html").read_text())  # fmt: skip
    assert len(asked) == len(set(asked))
    assert {each for each in asked if "/vendor/" not in each} == modules - {"/static/js/login.js"}
