"""Training: configuration, the one loop, its three stages, and the run that puts them together."""
