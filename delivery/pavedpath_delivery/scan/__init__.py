"""Scanners' reports: what they found, what is excepted until when, and whether that stops a delivery."""
