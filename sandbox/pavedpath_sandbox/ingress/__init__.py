"""The way into a cluster: pods whose images are in the sandbox's registry really run, and are reached by host name."""
