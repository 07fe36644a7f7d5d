"""The template tier: a question that fits a pattern, its values put into the pattern's query."""

from medha_core.templates.reading import read_templates
from medha_core.templates.tier import TemplateMatch, Templates

__all__ = ["TemplateMatch", "Templates", "read_templates"]
