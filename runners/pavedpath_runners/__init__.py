"""The control plane of self-hosted runners. What the other rooms share with it is its typed configuration."""

from .labels import Architecture, RunnerLabels

__all__ = ["Architecture", "RunnerLabels"]
