"""The Kubernetes control plane: real API server, controllers and scheduler; nodes and pods played by kwok."""
