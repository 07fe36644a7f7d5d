"""Values for a template's parameters: found in the question, written into the query as literals."""

from medha_core.parameters.entities import Entity
from medha_core.parameters.extractor import ParameterExtractor

__all__ = ["Entity", "ParameterExtractor"]
