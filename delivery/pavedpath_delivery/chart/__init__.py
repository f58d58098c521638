"""Charts: which ones changed, their packages, and where these are pushed."""
