"""The delivery pipeline as commands."""
