"""Servers on loopback that speak the platforms' real protocols, for demonstrations and tests."""

from .options import SandboxOptions
from .sandbox import Sandbox
from .serving import open_sandbox, run_sandbox
from .story_parameters import ScenarioError

__all__ = ["Sandbox", "SandboxOptions", "ScenarioError", "open_sandbox", "run_sandbox"]
