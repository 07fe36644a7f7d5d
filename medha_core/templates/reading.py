"""Templates from what a file holds."""

import json
from typing import Any

from pydantic import ValidationError

from medha_core.errors import TemplateError, shown
from medha_core.types import QueryTemplate


def read_templates(text: str, where: str) -> list[QueryTemplate]:
    """The templates of a JSON array. Raises `TemplateError` naming `where` and the item at fault."""
    try:
        items = json.loads(text)
    except json.JSONDecodeError as error:
        raise TemplateError(f"{where}, line {error.lineno}: not valid JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
        raise TemplateError(f"{where}: not usable JSON: {error}") from error
    if not isinstance(items, list):
        raise TemplateError(f"{where}: expected a JSON array of templates, got {type(items).__name__}")
    return [_template(item, f"{where}, item {i}") for i, item in enumerate(items)]


def _template(item: Any, where: str) -> QueryTemplate:
    if not isinstance(item, dict):
        raise TemplateError(f"{where}: expected an object, got {shown(item)}")
    try:
        return QueryTemplate.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise TemplateError(f"{where}: {name}: {first['msg']}") from error
