"""Handlers by topic: each takes a Call and returns a Reply."""
