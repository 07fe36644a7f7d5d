"""The settings, under the path the Medha library gives them."""

from medha_core.settings import Settings

__all__ = ["Settings"]
