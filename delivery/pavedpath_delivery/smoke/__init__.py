"""What runs is looked at: smoke tests, the state of a rollout, and a bundle of what may explain a failure."""
