"""Benchmarks: scripts that print the README's tables."""
