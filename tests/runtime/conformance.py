"""The table row → tests → result, made of the tests' marks and of a run of them.

python -m tests.runtime.conformance      # runs the marked tests, writes CONFORMANCE.rst
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from .rows import DEPARTURES, REASONS, ROWS

TESTS = Path(__file__).parents[1]
TABLE = TESTS.parent / "streampai/runtime/CONFORMANCE.rst"

SECTIONS = {
    "S": "OTP: supervisor",
    "D": "Elixir: Supervisor and DynamicSupervisor",
    "T": "Elixir: Task.Supervisor",
    "G": "OTP: gen_server",
    "R": "Elixir: Registry",
    "P": "Phoenix.PubSub",
    "B": "RabbitMQ: supervisor2",
    "X": "What Trio needs on top",
}

HEAD = """\
Conformance
===========

Which behaviour of OTP, Elixir, Phoenix and RabbitMQ holds here, and which test
shows it. Written by ``python -m tests.runtime.conformance`` from a run of the
tests that are marked with their rows; a test compares this file with the marks.
"""


def marks() -> dict[str, list[str]]:
    """Row → tests, as "folder/file.py::name", in their order. Read from the sources."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        source = path.read_text()
        if "mark.row(" not in source:
            continue
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for row in _rows_of(node):
                    test = f"{path.relative_to(TESTS.parent).as_posix()}::{node.name}"
                    found.setdefault(row, []).append(test)
    return found


def _rows_of(test: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.row":
            for argument in decorator.args:
                yield ast.literal_eval(argument)


def render(marked: Mapping[str, list[str]], results: Mapping[str, str]) -> str:
    """``results`` by test; whoever is missing has passed."""
    parts = [HEAD]
    for letter, title in SECTIONS.items():
        parts.append(f"\n{title}\n{'-' * len(title)}\n")
        for row, sentence in ROWS.items():
            if row[0] == letter:
                parts.append(_entry(row, sentence, marked.get(row, []), results))
    return "".join(parts)


def _entry(row: str, sentence: str, tests: list[str], results: Mapping[str, str]) -> str:
    lines = [f"\n**{row}** {sentence}"]
    if row in DEPARTURES:
        lines.append(f"\n    *Differs:* {DEPARTURES[row]}")
    if row in REASONS:
        lines.append(f"\n    *Not here:* {REASONS[row]}")
    if tests:
        lines.append("")
    for test in tests:
        path, name = test.split("::")
        words = name.removeprefix("test_").replace("_", " ")
        lines.append(f"    - {words} (``{path}``): {results.get(test, 'passed')}")
    return "\n".join(lines) + "\n"


class _Results:
    """A plugin that remembers the worst result of each test's cases."""

    def __init__(self) -> None:
        self.results: dict[str, str] = {}
        self.seen: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.partition("[")[0]
        self.seen.add(test)
        if report.failed:
            self.results[test] = "failed"
        elif report.skipped:
            self.results.setdefault(test, "skipped")


def main() -> int:
    marked = marks()
    tests = sorted({test for tests in marked.values() for test in tests})
    plugin = _Results()
    code = pytest.main(["-q", *tests], plugins=[plugin])
    for test in tests:
        if test not in plugin.seen:
            plugin.results[test] = "not run"
    TABLE.write_text(render(marked, plugin.results))
    print(f"wrote {TABLE}")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
