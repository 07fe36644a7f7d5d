"""Threads, event loops, forks, and work that several callers wait for."""
