"""Runs the workflows of the sandbox's repositories, with act in place of GitHub's own machines."""
