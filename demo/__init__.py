"""Stories that show the whole at work, on this machine, with real parts: `make demo-delivery`."""
