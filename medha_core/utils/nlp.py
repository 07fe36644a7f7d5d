"""What reads questions for templates, under the path the Medha library gives it."""

from medha_core.normalise import keyword_overlap_score
from medha_core.parameters import ParameterExtractor

__all__ = ["ParameterExtractor", "keyword_overlap_score"]
