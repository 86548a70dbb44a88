"""Servers on loopback that speak the platforms' real protocols, for demonstrations and tests."""

from .options import SandboxOptions
from .sandbox import Sandbox
from .scenario import ScenarioError
from .serving import open_sandbox, run_sandbox

__all__ = ["Sandbox", "SandboxOptions", "ScenarioError", "open_sandbox", "run_sandbox"]
