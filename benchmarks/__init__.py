"""Benchmarks: time beside quality, with fixed seeds. See each module's first lines."""
