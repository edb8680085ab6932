"""Learners made of formulas: what algorithms fill in."""
