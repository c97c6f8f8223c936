"""A run directory of the test's own, and a configuration."""

from tests.instance import run_directory, settings

__all__ = ["run_directory", "settings"]
