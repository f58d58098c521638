"""The lock file of the actions that workflows use."""
