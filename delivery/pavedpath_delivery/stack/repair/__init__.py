"""Repairs what an interrupted engine leaves: a lock, and operations of which nobody knows whether they happened."""
