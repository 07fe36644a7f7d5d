"""The patterns a template declares for its parameters, matched under a time limit.

They come from users, and a pattern such as `(a|aa)+$` takes a backtracking engine longer than the
universe has. The engine here is that of the package `regex`, which reads what `re` reads and stops
after a given processor time; a linear-time engine would refuse look-around and read `\\w` as ASCII.
"""

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from medha_core.errors import TemplateError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger("medha_core")

SECONDS = 0.002
"""Processor time one pattern may take on one text; an honest one takes microseconds."""


class Pattern:
    """One declared pattern; letter case does not count."""

    def __init__(self, text: str, where: str):
        import regex  # not at the top: thirty milliseconds that templates without patterns need not pay

        if not isinstance(text, str):
            raise TemplateError(f"{where}: expected a regular expression, got {shown(text)}")
        try:
            self._compiled: Any = regex.compile(text, regex.IGNORECASE)
        except regex.error as error:
            raise TemplateError(f"{where}: {shown(text)} is no regular expression: {error}") from error
        self._where = where
        self._warned = False

    def find(self, question: str) -> "Iterator[tuple[int, int]]":
        """Where the values of its matches stand: the first group of each, or all where it has none."""
        group = 1 if self._compiled.groups else 0
        try:
            for found in self._compiled.finditer(question, timeout=SECONDS):
                if found.start(group) < found.end(group):
                    yield found.span(group)
        except TimeoutError:
            self._give_up()

    def allows(self, value: str) -> bool:
        """Whether it describes the whole value."""
        try:
            return self._compiled.fullmatch(value, timeout=SECONDS) is not None
        except TimeoutError:
            self._give_up()
            return False

    def _give_up(self) -> None:
        """A pattern that takes too long matches nothing; said once, and without the question."""
        if not self._warned:
            self._warned = True
            logger.warning("%s took over %g ms on a question and was given up", self._where, SECONDS * 1e3)


@lru_cache(maxsize=4096)
def pattern(text: str, where: str) -> Pattern:
    """The compiled pattern. Raises `TemplateError` naming `where` it stands if it is none."""
    return Pattern(text, where)
