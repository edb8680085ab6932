"""The algorithms: each a configuration and a few lines over its family."""
