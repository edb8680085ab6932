"""Optimisation that takes functions rather than arrays."""
