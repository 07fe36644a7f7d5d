"""The facade, under the path the Medha library gives it."""

from medha_core.medha import Medha

__all__ = ["Medha"]
