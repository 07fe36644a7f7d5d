"""Vectors that are kept by text: in memory, and in a file."""
