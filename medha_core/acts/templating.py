"""Templating: the patterns of the template tier, given or read from a file."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from medha_core.acts.parts import Parts
from medha_core.errors import ArgumentTypeError, MedhaError, TemplateError
from medha_core.files import read_text
from medha_core.parameters import ParameterExtractor
from medha_core.templates import Templates, read_templates
from medha_core.types import QueryTemplate


class Templating:
    """Gives the waterfall its templates."""

    def __init__(self, parts: Parts, templates: Sequence[QueryTemplate] | None):
        self._parts = parts
        self._given = [] if templates is None else _checked(templates)

    async def begin(self) -> None:
        """Take the templates the cache was made with, else those of `Settings.template_file`."""
        path = self._parts.settings.template_file
        if self._given or path is None:
            await self._take(self._given)
        else:
            await self._take(await asyncio.to_thread(self._read, path))

    async def load_templates(self, templates: Sequence[QueryTemplate]) -> None:
        """Replace all templates. What the old ones answered is answered anew.

        Raises `TemplateError` for a template that no question could be answered with;
        then the old ones stay.
        """
        await self._take(_checked(templates))
        await self._parts.l1.invalidate_all()

    async def load_templates_from_file(self, file_path: str | Path) -> None:
        """`load_templates` with the JSON array of templates in a file, UTF-8.

        Raises `TemplateError` for a file that cannot be used: missing, over
        `max_file_size_mb`, outside `allowed_file_dir`, not JSON, or with a bad template.
        """
        await self.load_templates(await asyncio.to_thread(self._read, file_path))

    def _read(self, path: str | Path) -> list[QueryTemplate]:
        try:
            return read_templates(read_text(path, self._parts.settings), str(path))
        except TemplateError:
            raise
        except MedhaError as error:
            raise TemplateError(f"template file: {error}") from error

    async def _take(self, templates: Sequence[QueryTemplate]) -> None:
        self._parts.waterfall.templates = await asyncio.to_thread(self._made, list(templates))

    def _made(self, templates: list[QueryTemplate]) -> Templates | None:
        """In a thread: what the tier needs is loaded here, so that no question waits for it."""
        if not templates:
            return None
        extractor = ParameterExtractor(query_language=self._parts.settings.query_language)
        made = Templates(templates, extractor)
        if any(template.parameters for template in templates):
            extractor.load()
        self._parts.waterfall.warm_up()
        return made


def _checked(templates: object) -> list[QueryTemplate]:
    if not isinstance(templates, Sequence):
        raise ArgumentTypeError("templates", "a list of QueryTemplate", templates)
    return list(templates)
