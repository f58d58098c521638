"""What is not as it was declared, or not as it should be: stacks, settings on GitHub, releases."""
