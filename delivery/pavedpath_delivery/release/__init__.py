"""Releases: an annotated tag and a GitHub release, on a commit whose images are there."""
