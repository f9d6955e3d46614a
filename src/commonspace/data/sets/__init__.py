"""Loaders of the named data sets: compact files, and the releases of the papers."""
