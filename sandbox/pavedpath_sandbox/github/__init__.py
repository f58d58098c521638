"""A GitHub on loopback: REST and GraphQL, checked against GitHub's own description."""

from pavedpath_sandbox.github.app import create_app
from pavedpath_sandbox.github.settings import Plan, Settings

__all__ = ["Plan", "Settings", "create_app"]
