"""AWS and GitHub behind the ports. Each adapter translates calls and errors, and decides nothing."""
