"""Logging, under the path the Medha library gives it."""

from medha_core.logging_setup import setup_logging

__all__ = ["setup_logging"]
