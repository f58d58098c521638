"""What the commands share: errors, time, programs, GitHub, Kubernetes, and how a result is shown."""
