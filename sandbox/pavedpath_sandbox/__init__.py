"""A local cloud on loopback: AWS, GitHub, Kubernetes and an OCI registry."""
