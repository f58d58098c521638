"""Helm releases: deploying, rolling back, their history, and drills that show that rolling back works."""
