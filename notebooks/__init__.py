"""Notebooks that show the formulas at work, and what executes them."""
