"""What importing the package does to a process."""

from __future__ import annotations

import subprocess
import sys

import pytest

import penstock.locust


def test_locust_is_imported_only_for_the_user_class() -> None:
    """Importing locust replaces sockets and threads of the whole process."""
    code = "import sys, penstock.locust, penstock.locust.rows; assert not {'locust', 'gevent'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Streaming'"):
        penstock.locust.Streaming  # noqa: B018
