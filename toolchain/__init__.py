"""What the program runs on: the pinned engine, providers and tools, and where each of them comes from."""
