"""What is installed is what is here, and what is here is in its place."""

import ast
import configparser
import importlib
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath

import pytest

import streampai

TOP = Path(__file__).parents[1]
# Where everything lives; a new name up here wants a decision.
TOP_LEVEL = {
    ".ci",
    ".gitattributes",
    ".gitignore",
    "LICENSE",
    "README.rst",
    "etc",
    "pyproject.toml",
    "scripts",
    "setup.cfg",
    "streampai",
    "tests",
}
# Parts of another library's public interface: of Trio's low level, of Quart's exceptions.
COMES_WITH = {"outcome": "trio", "werkzeug": "quart"}


@pytest.fixture(scope="module")
def tracked():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=TOP, capture_output=True, text=True, check=True
    )
    return [PurePosixPath(name) for name in listed.stdout.split("\0") if name]


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser()
    parser.read(TOP / "setup.cfg")
    return parser


def words(text):
    return [line.strip() for line in text.strip().splitlines() if not line.startswith("#")]


def requirement_name(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")


def test_only_what_belongs_there_is_at_the_top(tracked):
    assert {path.parts[0] for path in tracked} <= TOP_LEVEL


def test_everything_in_the_package_is_installed(tracked, setup):
    """Files beside the modules: pages, vendored libraries, the marker of types."""
    # The innermost package first: streampai.web before streampai.
    globs = {
        name: words(text)
        for name, text in sorted(setup["options.package_data"].items(), reverse=True)
    }

    def matches(path, pattern):
        """As setuptools does: ** is any depth, a single * is one name."""
        if "**" in pattern:
            return fnmatch(str(path), pattern)
        return len(path.parts) == len(PurePosixPath(pattern).parts) and path.match(pattern)

    def installed(path):
        for package, patterns in globs.items():
            folder = PurePosixPath(package.replace(".", "/"))
            if folder in path.parents:
                inside = path.relative_to(folder)
                return any(matches(inside, pattern) for pattern in patterns)
        return False

    data = [p for p in tracked if p.parts[0] == "streampai" and p.suffix != ".py"]
    assert data
    assert [str(path) for path in data if not installed(path)] == []


def test_every_folder_of_modules_is_a_package(tracked):
    folders = {
        path.parent for path in tracked if path.suffix == ".py" and path.parts[0] == "streampai"
    }
    assert [str(f) for f in folders if not (TOP / f / "__init__.py").exists()] == []


def test_what_is_imported_is_asked_for(tracked, setup):
    asked = {requirement_name(line) for line in words(setup["options"]["install_requires"])}
    provides = packages_distributions()
    imported = set()
    for path in tracked:
        if path.parts[0] == "streampai" and path.suffix == ".py":
            for node in ast.walk(ast.parse((TOP / path).read_text())):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    imported.add(node.module.partition(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"streampai"}
    assert "trio" in foreign
    missing = {
        module
        for module in foreign
        if COMES_WITH.get(module) not in asked
        and not asked & {d.lower().replace("_", "-") for d in provides.get(module, ())}
    }
    assert missing == set()


def test_each_requirement_says_from_which_version_on(setup):
    lines = words(setup["options"]["install_requires"])
    for extra in setup["options.extras_require"].values():
        lines += words(extra)
    assert [line for line in lines if not re.search(r"[>=]=", line)] == []


def test_the_version_is_said_the_same_twice(setup):
    assert setup["metadata"]["version"] == streampai.__version__


def test_the_command_exists(setup):
    (line,) = words(setup["options.entry_points"]["console_scripts"])
    name, _, target = line.partition(" = ")
    module, _, function = target.partition(":")
    assert name == "streampai"
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("folder", ["scripts", ".ci"])
def test_scripts_are_strict_and_can_be_run(tracked, folder):
    scripts = [path for path in tracked if path.parts[0] == folder]
    assert scripts
    for path in scripts:
        text = (TOP / path).read_text()
        assert os.access(TOP / path, os.X_OK), path
        assert text.startswith("#!/usr/bin/env bash\n"), path
        assert "\nset -euo pipefail\n" in text, path
        subprocess.run(["bash", "-n", TOP / path], check=True)


def test_nothing_names_a_machine(tracked):
    """No path of whoever's machine it was written on."""
    pattern = re.compile(rb"(?<![\w.])/(?:home|root|Users|work)/\w")
    found = [
        str(path)
        for path in tracked
        if "vendor" not in path.parts and pattern.search((TOP / path).read_bytes())
    ]
    assert found == []
