"""Measures of colour, each in a file of its own, in NumPy."""
